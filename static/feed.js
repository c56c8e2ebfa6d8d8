// The monitor's counts: pushed each second by a socket, asked for one by one while there is none.

import { getCounts } from './api.js';
import { isFinal, PushSocket } from './socket.js';
import { Backoff, onWake, Sleeper } from './timing.js';

const POLL_MS = 1500;
const SILENT_MS = 4000; // a socket that pushes each second and says nothing this long is dead
const EXPIRED = 4501;

export class CountsFeed {
  /** @type {'connecting'|'open'|'polling'|'refused'} */
  status = 'connecting';
  /** When the newest counts came, in Unix milliseconds; 0 before the first. */
  heardAt = 0;

  #token;
  #onCounts;
  #onRefused;
  #socket = null;
  #openedAt = 0;
  #pulse = new Sleeper();
  #waitMs = POLL_MS;
  #pause = new Sleeper();

  /**
   * @param {string} token
   * @param {(counts: object) => void} onCounts called with each answer or push
   * @param {(reason: 'unauthenticated'|'expired'|'no_access') => void} onRefused called once, for good
   */
  constructor(token, onCounts, onRefused) {
    this.#token = token;
    this.#onCounts = onCounts;
    this.#onRefused = onRefused;
  }

  start() {
    this.#keepSocket();
    this.#watch();
    onWake(() => [this.#pulse, this.#pause].forEach((sleeper) => sleeper.wake()));
  }

  async #keepSocket() {
    const backoff = new Backoff();
    while (this.status !== 'refused') {
      const socket = new PushSocket('/monitor/socket', this.#token, (message) => this.#hear(message));
      if (await socket.opened) {
        this.#openedAt = Date.now();
        this.#socket = socket;
        this.#become('open');
        backoff.reset();
      }
      const code = await socket.closed;
      this.#socket = null;
      this.#become('connecting');
      if (isFinal(code)) this.#refuse(code === EXPIRED ? 'expired' : 'no_access');
      this.#pulse.wake(); // a browser cannot see why a handshake was refused: the answer to a request says it
      await this.#pause.sleep(backoff.next());
    }
  }

  /** Asks while there is no socket, and finds out a socket that died in silence. */
  async #watch() {
    while (this.status !== 'refused') {
      await this.#pulse.sleep(this.#waitMs);
      if (!this.#socket) await this.#read();
      else if (Date.now() - Math.max(this.heardAt, this.#openedAt) > SILENT_MS) this.#socket.close();
    }
  }

  async #read() {
    const { status, body, retryAfterMs } = await getCounts(this.#token);
    this.#waitMs = Math.max(POLL_MS, retryAfterMs);
    if (status === 401 || status === 403) this.#refuse(status === 401 ? 'unauthenticated' : 'no_access');
    if (this.#socket) return; // which has opened meanwhile and knows better
    if (status === 200) this.#hear(body);
    this.#become(status === 200 ? 'polling' : 'connecting');
  }

  #hear(message) {
    if (this.status === 'refused' || !Array.isArray(message.rooms)) return;
    this.heardAt = Date.now();
    this.#onCounts(message);
  }

  #become(status) {
    if (this.status !== 'refused') this.status = status;
  }

  #refuse(reason) {
    if (this.status === 'refused') return;
    this.status = 'refused';
    this.#socket?.close();
    this.#pause.wake();
    this.#onRefused(reason);
  }
}
