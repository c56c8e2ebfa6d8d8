"""What nobody well-behaved says to a room socket: handshakes and frames, mutated or random, from one seed each."""

import random
import struct
from base64 import b64encode

INTERESTING = (0x00, 0x01, 0x02, 0x08, 0x09, 0x0A, 0x7F, 0x80, 0x81, 0x82, 0x88, 0x89, 0x8A, 0xC1, 0xFE, 0xFF)


class Nonsense:
    """What one connection says, and how: everything is decided by the generator of random numbers."""

    def __init__(self, chance: random.Random, token: str) -> None:
        self.chance = chance
        self._token = token

    def handshake(self) -> bytes:
        """Valid more often than not; otherwise damaged, or no handshake at all."""
        good = "\r\n".join(
            [
                "GET /rooms/w/socket HTTP/1.1",
                "Host: 127.0.0.1",
                "Connection: Upgrade",
                "Upgrade: websocket",
                f"Sec-WebSocket-Key: {b64encode(self.chance.randbytes(16)).decode()}",
                "Sec-WebSocket-Version: 13",
                f"Sec-WebSocket-Protocol: room.v1, room.bearer.{self._token}",
                "",
                "",
            ]
        ).encode()
        match self.chance.randrange(10):
            case 0:
                return self.damaged(good)
            case 1:
                return self.shuffled(good)
            case 2:
                return self.chance.randbytes(self.chance.randrange(2000))
            case _:
                return good

    def shuffled(self, request: bytes) -> bytes:
        """Lines in another order, missing or twice; the request line stays."""
        first, *lines = request.removesuffix(b"\r\n\r\n").split(b"\r\n")
        chosen = [line for line in lines for _ in range(self.chance.choice((0, 1, 1, 1, 1, 2)))]
        self.chance.shuffle(chosen)
        return b"\r\n".join([first, *chosen, b"", b""])

    def damaged(self, data: bytes) -> bytes:
        """A few bytes changed, taken out, doubled or put in."""
        broken = bytearray(data)
        for _ in range(self.chance.randrange(1, 6)):
            at = self.chance.randrange(len(broken) + 1)
            match self.chance.randrange(4):
                case 0:
                    broken[at : at + 1] = bytes((self.chance.choice(INTERESTING),))
                case 1:
                    del broken[at : at + self.chance.randrange(1, 9)]
                case 2:
                    broken[at:at] = broken[at : at + self.chance.randrange(1, 65)]
                case _:
                    broken[at:at] = self.chance.randbytes(self.chance.randrange(1, 9))
        return bytes(broken)

    def frames(self) -> bytes:
        """A few frames: whole ones, damaged ones, a flood, or noise."""
        match self.chance.randrange(8):
            case 0:
                return self.chance.randbytes(self.chance.randrange(1, 300))
            case 1:
                return self.frame() * self.chance.choice((30, 300, 3000, 30_000))
            case 2 | 3:
                return self.damaged(b"".join(self.frame() for _ in range(self.chance.randrange(1, 6))))
            case _:
                return b"".join(self.frame() for _ in range(self.chance.randrange(1, 6)))

    def frame(self) -> bytes:
        """A frame as a client may send it, or nearly so; control frames prevail."""
        first = self.chance.choice((0x88, 0x89, 0x89, 0x89, 0x8A, 0x8A, 0x8A, 0x81, self.chance.choice(INTERESTING)))
        payload = self.chance.randbytes(self.chance.choice((0, 0, 1, 2, 8, 125, 126)))
        if first == 0x88 and len(payload) >= 2 and self.chance.random() < 0.7:
            payload = struct.pack("!H", self.chance.choice((1000, 1001, 1005, 3000, 4999, 5000))) + b"bye"
        mask = self.chance.randbytes(4)
        size = bytes((0x80 | len(payload),)) if len(payload) < 126 else struct.pack("!BH", 0xFE, len(payload))
        return bytes((first,)) + size + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))

    def chunks(self, data: bytes) -> list[bytes]:
        """Whole, byte by byte, or cut anywhere."""
        match self.chance.randrange(4):
            case 0 if len(data) < 1000:
                return [data[at : at + 1] for at in range(len(data))]
            case 1:
                cuts = sorted(self.chance.randrange(len(data) + 1) for _ in range(self.chance.randrange(1, 5)))
                return [data[one:other] for one, other in zip([0, *cuts], [*cuts, len(data)], strict=True)]
            case _:
                return [data]
