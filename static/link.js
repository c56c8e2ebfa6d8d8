// A short link, for mailers that drop what follows the #: asks which token its code stands for, and goes to the room.
// The room's address takes the place of this one, so that no code stays in the address or in the history.

import { getLink, isFinal } from './api.js';
import { byId } from './dom.js';
import { start } from './i18n.js';
import { showTrouble } from './shell.js';
import { Backoff, onWake, Sleeper } from './timing.js';

/** The code in the address, whatever a mailer has put behind it. The server gives this page to no other address. */
const codeInAddress = () => location.pathname.split('/')[2].slice(0, 22);

/** Asks until the server itself has answered. */
async function follow(code) {
  const backoff = new Backoff();
  const pause = new Sleeper();
  onWake(() => pause.wake());
  for (;;) {
    const answer = await getLink(code);
    if (answer.status === 200) {
      const { webinar_id: webinarId, token } = answer.body;
      location.replace(`/room/${encodeURIComponent(webinarId)}${location.search}#token=${token}`);
      return;
    }
    if (isFinal(answer)) {
      showTrouble('ended');
      return;
    }
    await pause.sleep(Math.max(backoff.next(), answer.retryAfterMs));
  }
}

start(() => {
  byId('again').addEventListener('click', () => location.reload());
  follow(codeInAddress());
});
