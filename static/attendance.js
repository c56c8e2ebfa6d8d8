// Reports an attendee's entering and completing until the server has answered, and finds out whether it was counted.

import { getStanding, isFinal, sendHook } from './api.js';
import { serverNow } from './clock.js';
import { recall, remember } from './session.js';
import { Backoff, between, onLeave, onWake, Sleeper } from './timing.js';

const SPREAD_MS = 4500; // a crowd that turns live at once reports within five seconds, not within one
const WORRY_MS = 15_000; // so long without an answer, the person is told
const CLASSIFIED_TRIES = 40; // a third of an hour: the evaluation runs minutes after the end

const classifiedDelay = () => between(20_000, 40_000);

const STEPS = {
  entered: { hook: 'client_webinar_entered', during: 'live', time: 'timestamp', early: 'webinar_not_live' },
  completed: { hook: 'client_webinar_completed', during: 'finished', time: 'completed_at', early: 'webinar_not_finished' },
};
const PHASES = { live: 'enter', finished: 'finish', archived: 'finish' };

export class Attendance {
  #webinarId;
  #leadId;
  #token;
  #on;
  #state = null;
  #known; // {entered: epoch in which this tab was told that it has entered}
  #done = {}; // phase -> epoch in which it came to an end
  #busy = new Set();
  #sleepers = new Set();
  #pause = new Sleeper();

  /**
   * @param {object} attendee
   * @param {object} attendee.on what is called when something is known
   * @param {(step: 'entered'|'completed') => void} attendee.on.step the server has this step
   * @param {(counted: boolean, watchedS?: number) => void} attendee.on.counted how the server has classified this person, and
   *   for how many seconds it has seen it on air, where it says so
   * @param {(isTrying: boolean) => void} attendee.on.trouble whether a report has long been without an answer
   */
  constructor({ webinarId, leadId, token, on }) {
    this.#webinarId = webinarId;
    this.#leadId = leadId;
    this.#token = token;
    this.#on = on;
    this.#known = JSON.parse(recall(this.#note) ?? '{}');
    if (this.#known.entered) on.step('entered');
    onLeave(() => this.#sleepers.forEach((sleeper) => sleeper.wake())); // the last chance to be counted
    onWake(() => this.#pause.wake());
  }

  /** Takes in each room state; starts what it calls for. */
  follow(state) {
    this.#state = state;
    const phase = PHASES[state.status];
    if (phase) this.#begin(phase);
  }

  get #note() {
    return `attendance:${this.#webinarId}:${this.#leadId}`;
  }

  get #isOver() {
    return PHASES[this.#state.status] === 'finish';
  }

  /** Another epoch may be another room, or one that lost its last writes: all is done again, which does no harm. */
  async #begin(phase) {
    const { epoch } = this.#state;
    if (this.#busy.has(phase) || this.#done[phase] === epoch) return;
    this.#busy.add(phase);
    const isDone = await (phase === 'enter' ? this.#enter(epoch) : this.#finish(epoch));
    this.#busy.delete(phase);
    if (isDone) this.#done[phase] = epoch;
    this.follow(this.#state); // which may have changed meanwhile
  }

  /** Returns whether there is nothing left to do while the room is of this epoch. */
  async #enter(epoch) {
    if (this.#known.entered === epoch) return true;
    const answer = await this.#report('entered');
    if (answer?.status === 200) {
      this.#known.entered = epoch;
      remember(this.#note, JSON.stringify(this.#known));
      this.#on.step('entered');
    }
    return answer !== null;
  }

  /**
   * Completes what was entered, by this tab or by any other; then the person hears what the server has made of it.
   * Returns whether there is nothing left to do while the room is of this epoch.
   */
  async #finish(epoch) {
    const isKnown = this.#done.enter === epoch && this.#state.status === 'finished';
    let standing = isKnown ? null : await this.#ask();
    const isOpen = standing ? Boolean(standing.entered_at && !standing.completed_at) && standing.attended === null
      : Boolean(this.#known.entered);
    if (isOpen && this.#state.status === 'finished') {
      const answer = await this.#report('completed');
      if (!answer) return false;
      standing = answer.status === 200 ? { ...answer.body, completed_at: true } : await this.#ask();
    }
    if (standing?.completed_at) this.#on.step('completed');
    for (let tries = 0; this.#isAwaited(standing) && tries < CLASSIFIED_TRIES; tries += 1) {
      await this.#pause.sleep(classifiedDelay());
      if (this.#state.epoch !== epoch || !this.#isOver) return false;
      standing = await this.#ask();
    }
    if (typeof standing?.attended === 'boolean') this.#on.counted(standing.attended, standing.watched_s);
    return true;
  }

  /** Whether a person who was there has not been classified yet. */
  #isAwaited(standing) {
    return standing?.attended === null && Boolean(standing.entered_at || standing.completed_at || standing.watched_s);
  }

  /** What the server has stored of this person; null when it does not say. */
  async #ask() {
    const backoff = new Backoff();
    while (this.#isOver) {
      const answer = await getStanding(this.#webinarId, this.#token);
      if (answer.status === 200) return answer.body;
      if (isFinal(answer)) return null; // a server of before this reading, or a token that has run out
      await this.#pause.sleep(Math.max(backoff.next(), answer.retryAfterMs));
    }
    return null;
  }

  /** Sends the hook of this step until the server itself has answered; null when its time is over. */
  async #report(step) {
    const { hook, during, time } = STEPS[step];
    const sleeper = new Sleeper();
    this.#sleepers.add(sleeper);
    await sleeper.sleep(between(0, SPREAD_MS));
    const payload = { webinar_id: this.#webinarId, lead_id: this.#leadId, [time]: Math.floor(serverNow() / 1000) };
    const send = () => sendHook(hook, payload, this.#token);
    const answer = this.#state.status === during ? await this.#repeat(send, step, sleeper) : null;
    this.#sleepers.delete(sleeper);
    this.#on.trouble(false);
    return answer;
  }

  async #repeat(send, step, sleeper) {
    const { during, early } = STEPS[step];
    const backoff = new Backoff();
    const since = performance.now();
    for (;;) {
      const answer = await send();
      const isEarly = answer.code === early;
      if (isEarly && this.#state.status !== during) return null;
      if (isFinal(answer) && !isEarly) return answer;
      if (performance.now() - since > WORRY_MS) this.#on.trouble(true);
      await sleeper.sleep(Math.max(backoff.next(), answer.retryAfterMs));
    }
  }
}
