"""Head and body of an answer in one write: one system call and one packet, where uvicorn makes two of each."""

from typing import Protocol

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
"""What uvicorn may write before the head (RFC 9110, 10.1.1)."""


class Transport(Protocol):
    """What uvicorn needs of a transport while it answers."""

    def write(self, data: bytes) -> None: ...

    def is_closing(self) -> bool: ...

    def close(self) -> None: ...


class OneWrite:
    """The transport of one answer, to any request but HEAD. Its first write, the head, waits for the next.

    That is the beginning of the body, if only an empty one. To HEAD uvicorn writes the head alone.
    """

    __slots__ = ("_begun", "_head", "_transport")

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._begun = False
        self._head = b""

    def write(self, data: bytes) -> None:
        """Keep the head; write the rest, behind the head if that has not been written."""
        if self._begun or data == CONTINUE:
            self._transport.write(self._head + data if self._head else data)
            self._head = b""
        else:
            self._begun, self._head = True, data

    def is_closing(self) -> bool:
        """See the transport."""
        return self._transport.is_closing()

    def close(self) -> None:
        """Close. The application may have failed behind the head, which the caller gets as it would without this."""
        if self._head:
            self.write(b"")
        self._transport.close()
