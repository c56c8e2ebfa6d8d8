// One socket from handshake to end: read-only, with a deadline for the handshake.

const HANDSHAKE_MS = 10_000;
const ABNORMAL = 1006;

const addressOf = (path) => {
  const address = new URL(path, location.href);
  address.protocol = address.protocol === 'https:' ? 'wss:' : 'ws:';
  return address.href;
};

export class PushSocket {
  #socket;
  #end;

  /** Resolves to the close code. */
  closed = new Promise((resolve) => {
    this.#end = resolve;
  });

  /** Resolves to whether the handshake succeeded. */
  opened;

  /** @param {(message: object) => void} onMessage called with each decoded frame until the end */
  constructor(path, token, onMessage) {
    this.#socket = new WebSocket(addressOf(path), ['room.v1', `room.bearer.${token}`]);
    this.#socket.onmessage = ({ data }) => onMessage(JSON.parse(data));
    this.#socket.onclose = ({ code }) => this.#end(code);
    const deadline = setTimeout(() => this.close(), HANDSHAKE_MS);
    this.opened = new Promise((resolve) => {
      this.#socket.onopen = () => resolve(true);
      this.closed.then(() => resolve(false));
    }).finally(() => clearTimeout(deadline));
  }

  /** Ends it here and now, without waiting for a peer that may be gone. */
  close() {
    this.#socket.onmessage = null;
    this.#socket.close();
    this.#end(ABNORMAL);
  }
}

/** Codes that say: do not come back with the same request (1008, 4500-4999). */
export const isFinal = (code) => code === 1008 || (code >= 4500 && code <= 4999);
