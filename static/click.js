// Reports that an attendee followed the call to action. The link itself works without it.

import { isFinal, sendHook } from './api.js';
import { serverNow } from './clock.js';
import { Backoff, Sleeper } from './timing.js';

const TRIES = 5; // the page may be gone soon, and the server counts a click once

/**
 * @param {{webinarId: string, leadId: number, token: string}} attendee
 * @returns {() => Promise<void>} to be called at each click
 */
export function clickReporter({ webinarId, leadId, token }) {
  let isKnown = false; // by the server, or soon
  return async () => {
    if (isKnown) return;
    isKnown = true;
    const payload = { webinar_id: webinarId, lead_id: leadId, timestamp: Math.floor(serverNow() / 1000) };
    const backoff = new Backoff();
    const pause = new Sleeper();
    for (let tries = 0; tries < TRIES; tries += 1) {
      const answer = await sendHook('client_webinar_cta_clicked', payload, token);
      if (answer.status === 200) return;
      if (isFinal(answer)) break;
      await pause.sleep(Math.max(backoff.next(), answer.retryAfterMs));
    }
    isKnown = false;
  };
}
