// Follows one room as closely as the network allows: a socket, and the REST state while there is none.

import { getState, roomPath } from './api.js';
import { isFinal, PushSocket } from './socket.js';
import { Backoff, between, onWake, Sleeper } from './timing.js';

const STEADY_MS = 5000; // a socket held this long was a success
const CATCH_UP_MS = 3000; // a socket that is this far behind the REST state is dead

/** The REST read while polling, and the rare one that finds out about a socket that died in silence. */
const pollDelay = () => between(2500, 4500);
const doubtDelay = () => between(120_000, 240_000);

const REASON_BY_CLOSE = { 1008: 'refused', 4501: 'expired', 4504: 'unknown' };

/** Why the server itself refused the REST state for good; undefined when it did not. */
const reasonByCode = (code) => ({ unauthenticated: 'unauthenticated', webinar_unknown: 'unknown' })[code]
  ?? (code.startsWith('forbidden_') ? 'no_access' : undefined);

/** Whether `state` replaces `held`: the highest version of an epoch, and any other epoch. */
const supersedes = (state, held) => !held || state.epoch !== held.epoch || state.version > held.version;

export class RoomConnection {
  /** The room state shown last, null before the first. */
  state = null;
  /** @type {'connecting'|'open'|'polling'|'refused'} */
  status = 'connecting';
  /** Why it was refused for good: `unauthenticated`, `expired`, `unknown`, `no_access` or `refused`. */
  reason = '';
  /** When the next socket is tried, in Unix milliseconds. */
  retryAt = 0;

  #webinarId;
  #token;
  #onState;
  #onStatus;
  #socket = null;
  #heard = null; // the newest state that came by the socket
  #etag = null;
  #reading = null;
  #timer = 0;
  #sleeper = new Sleeper();

  /**
   * @param {object} room
   * @param {(state: object) => void} room.onState called for each newer state
   * @param {(connection: RoomConnection) => void} room.onStatus called when `status`, `reason` or `retryAt` changed
   */
  constructor({ webinarId, token, onState, onStatus }) {
    this.#webinarId = webinarId;
    this.#token = token;
    this.#onState = onState;
    this.#onStatus = onStatus;
  }

  start() {
    this.#tell('connecting');
    this.#readIn(pollDelay()); // in case the handshake hangs
    this.#keepSocket();
    onWake(() => this.wake());
  }

  /** Looks again at once: the page slept, or the person asks. */
  wake() {
    if (this.status === 'refused') return;
    this.#sleeper.wake();
    this.read();
  }

  /** Reads the REST state now, once at a time; resolves when its answer has been taken in. */
  read() {
    this.#reading ??= this.#read().finally(() => {
      this.#reading = null;
    });
    return this.#reading;
  }

  async #keepSocket() {
    const backoff = new Backoff();
    while (this.status !== 'refused') {
      const socket = this.#open();
      const opened = await socket.opened;
      const code = opened ? await this.#hold(socket, backoff) : await socket.closed;
      if (isFinal(code)) this.#refuse(REASON_BY_CLOSE[code] ?? 'refused');
      if (this.status === 'refused') return;
      const delay = backoff.next();
      this.retryAt = Date.now() + delay;
      this.#tell(opened ? 'connecting' : this.status);
      if (this.status === 'connecting') this.#readIn(opened ? pollDelay() : 0); // a handshake's refusal says no reason
      await this.#sleeper.sleep(delay);
    }
  }

  /** Until this socket, and every one that took over from it, is gone; resolves to the last close code. */
  async #hold(socket, backoff) {
    const since = performance.now();
    this.#adopt(socket);
    let held;
    let code;
    do {
      held = this.#socket;
      code = await held.closed;
    } while (held !== this.#socket);
    this.#socket = null;
    if (performance.now() - since > STEADY_MS) backoff.reset();
    return code;
  }

  #open() {
    return new PushSocket(`${roomPath(this.#webinarId)}/socket`, this.#token, (message) => this.#hear(message));
  }

  #adopt(socket) {
    const former = this.#socket;
    this.#socket = socket;
    former?.close();
    if (this.status === 'refused') socket.close();
    else this.#tell('open');
    this.#readIn(doubtDelay());
  }

  /** Opens a new socket before letting go of the present one; whose own end, if this fails, leads the usual way back. */
  async #replace() {
    if (!this.#socket) return;
    const socket = this.#open();
    if (!(await socket.opened)) return;
    if (this.#socket) this.#adopt(socket);
    else socket.close();
  }

  #hear(message) {
    if (message.type === 'reconnect') setTimeout(() => this.#replace(), message.after_ms);
    if (message.type !== 'state') return;
    this.#heard = message;
    this.#take(message);
  }

  #take(state) {
    if (!supersedes(state, this.state)) return;
    this.state = state;
    this.#onState(state);
  }

  #readIn(ms) {
    clearTimeout(this.#timer);
    if (this.status === 'refused') return;
    this.#timer = setTimeout(() => this.read(), ms);
  }

  async #read() {
    const answer = await getState(this.#webinarId, this.#token, this.state && this.#etag);
    if (this.status === 'refused') return;
    const reason = reasonByCode(answer.code);
    if (reason) {
      this.#refuse(reason);
      return;
    }
    if (answer.status === 200) this.#takeAnswer(answer);
    const answered = answer.status === 200 || answer.status === 304;
    if (this.#socket) this.#doubt(answer);
    else this.#tell(answered ? 'polling' : 'connecting');
    this.#readIn(this.#socket ? doubtDelay() : Math.max(pollDelay(), answer.retryAfterMs));
  }

  #takeAnswer({ body, etag }) {
    this.#etag = etag;
    this.#take(body);
  }

  /** Whether the open socket still lives, given what a read brought. An answer of somebody else says nothing of it. */
  #doubt({ status, foreign }) {
    const socket = this.#socket;
    if (!status && !foreign) {
      socket.close();
    } else if (this.#heard && supersedes(this.state, this.#heard)) {
      setTimeout(() => socket === this.#socket && supersedes(this.state, this.#heard) && this.#replace(), CATCH_UP_MS);
    }
  }

  #refuse(reason) {
    this.reason = reason;
    this.#tell('refused');
    clearTimeout(this.#timer);
    this.#sleeper.wake();
    this.#socket?.close();
  }

  #tell(status) {
    this.status = status;
    this.#onStatus(this);
  }
}
