// Reports an attendee's entering and completing, spread at random and repeated until answered.

import { sendHook } from './api.js';
import { serverNow } from './clock.js';
import { recall, remember } from './session.js';
import { Backoff, between, onLeave, Sleeper } from './timing.js';

const SPREAD_MS = 4500; // a crowd that turns live at once reports within five seconds, not within one

const STEPS = {
  entered: { hook: 'client_webinar_entered', during: 'live', time: 'timestamp', early: 'webinar_not_live' },
  completed: { hook: 'client_webinar_completed', during: 'finished', time: 'completed_at', early: 'webinar_not_finished' },
};

export class Attendance {
  #webinarId;
  #leadId;
  #token;
  #onStep;
  #state = null;
  #known; // step -> epoch of the room in which it was answered
  #busy = new Set();
  #refused = new Set();
  #sleepers = new Set();

  /** @param {(step: 'entered'|'completed') => void} onStep called when a step is known to the server */
  constructor({ webinarId, leadId, token, onStep }) {
    this.#webinarId = webinarId;
    this.#leadId = leadId;
    this.#token = token;
    this.#onStep = onStep;
    this.#known = JSON.parse(recall(this.#note) ?? '{}');
    Object.keys(this.#known).forEach(onStep);
    onLeave(() => this.#sleepers.forEach((sleeper) => sleeper.wake())); // the last chance to be counted
  }

  /** Takes in each room state; starts what it calls for. */
  follow(state) {
    this.#state = state;
    if (this.#isDue('entered')) this.#report('entered');
    if (this.#known.entered && this.#isDue('completed')) this.#report('completed');
  }

  get #note() {
    return `attendance:${this.#webinarId}:${this.#leadId}`;
  }

  /** Another epoch may be another room, or one that lost its last writes: reported again, which does no harm. */
  #isDue(step) {
    return this.#state.status === STEPS[step].during
      && this.#known[step] !== this.#state.epoch
      && !this.#busy.has(step)
      && !this.#refused.has(step);
  }

  async #report(step) {
    this.#busy.add(step);
    const outcome = await this.#repeat(step);
    this.#busy.delete(step);
    if (outcome === 'refused') this.#refused.add(step);
    if (outcome === 'answered') this.#keep(step);
    this.follow(this.#state); // which may have changed meanwhile
  }

  /** @returns {Promise<'answered'|'refused'|'too late'>} */
  async #repeat(step) {
    const { hook, during, time, early } = STEPS[step];
    const sleeper = new Sleeper();
    const backoff = new Backoff();
    this.#sleepers.add(sleeper);
    await sleeper.sleep(between(0, SPREAD_MS));
    const payload = { webinar_id: this.#webinarId, lead_id: this.#leadId, [time]: Math.floor(serverNow() / 1000) };
    let outcome = this.#state.status === during ? '' : 'too late';
    while (!outcome) {
      const answer = await sendHook(hook, payload, this.#token);
      outcome = this.#judge(answer, early, during);
      if (!outcome) await sleeper.sleep(Math.max(backoff.next(), answer.retryAfterMs));
    }
    this.#sleepers.delete(sleeper);
    return outcome;
  }

  /** What an answer means; '' is worth repeating. */
  #judge({ status, code }, early, during) {
    if (status === 200) return 'answered';
    if (code === early) return this.#state.status === during ? '' : 'too late';
    return [0, 408, 429].includes(status) || status >= 500 ? '' : 'refused';
  }

  #keep(step) {
    this.#known[step] = this.#state.epoch;
    remember(this.#note, JSON.stringify(this.#known));
    this.#onStep(step);
  }
}
