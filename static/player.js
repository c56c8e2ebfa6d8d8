// The player's frame and the page's policy, which names the players that the server knew when the page was loaded.

import { recall, remember } from './session.js';
import { between } from './timing.js';

const NOTE = 'reloaded-for-player';

/**
 * Watches whether the policy keeps the player out. If so, the page is loaded again, once for each version of the room;
 * when that has not helped, `onRefused` is called: the player leads to an origin that nobody has named.
 * @param {() => string} version the version of the room that is shown
 * @returns {() => void} loads the page again, to be called when a refused room has changed
 */
export function watchPlayer(version, onRefused) {
  function reload() {
    remember(NOTE, version());
    setTimeout(() => location.reload(), between(1000, 4000)); // the server's answer may be a second old
  }
  document.addEventListener('securitypolicyviolation', ({ effectiveDirective, violatedDirective }) => {
    if (!/^(frame|child)-src/.test(effectiveDirective || violatedDirective)) return;
    if (recall(NOTE) === version()) onRefused();
    else reload();
  });
  return reload;
}
