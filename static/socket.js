// One socket from handshake to end: read-only, with a deadline for the handshake.

const HANDSHAKE_MS = 10_000;
const ABNORMAL = 1006;

const addressOf = (path) => {
  const address = new URL(path, location.href);
  address.protocol = address.protocol === 'https:' ? 'wss:' : 'ws:';
  return address.href;
};

export class PushSocket {
  #socket = null;
  #end;

  /** Resolves to the close code. */
  closed = new Promise((resolve) => {
    this.#end = resolve;
  });

  /** Resolves to whether the handshake succeeded. */
  opened;

  /** @param {(message: object) => void} onMessage called with each decoded frame until the end */
  constructor(path, token, onMessage) {
    const deadline = setTimeout(() => this.close(), HANDSHAKE_MS);
    this.opened = new Promise((resolve) => {
      this.closed.then(() => resolve(false));
      this.#connect(path, token, onMessage, () => resolve(true));
    }).finally(() => clearTimeout(deadline));
  }

  /** A browser that may not open sockets at all throws; to the page that is a handshake that failed. */
  #connect(path, token, onMessage, onOpen) {
    try {
      this.#socket = new WebSocket(addressOf(path), ['room.v1', `room.bearer.${token}`]);
    } catch {
      this.#end(ABNORMAL);
      return;
    }
    this.#socket.onmessage = ({ data }) => onMessage(JSON.parse(data));
    this.#socket.onclose = ({ code }) => this.#end(code);
    this.#socket.onopen = onOpen;
  }

  /** Ends it here and now, without waiting for a peer that may be gone. */
  close() {
    if (this.#socket) this.#socket.onmessage = null;
    this.#socket?.close();
    this.#end(ABNORMAL);
  }
}

/** Codes that say: do not come back with the same request (1008, 4500-4999). */
export const isFinal = (code) => code === 1008 || (code >= 4500 && code <= 4999);
