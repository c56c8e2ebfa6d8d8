// The player's frame, and the page's policy, which names the players that the server knew when the page was loaded.

import { byId } from './dom.js';
import { recall, remember } from './session.js';
import { between } from './timing.js';

const NOTE = 'reloaded-for-player';
const LATE_MS = 15_000;

/** The frame `#player`. One that has no address any more may go on playing: it is replaced by an empty one. */
export class PlayerFrame {
  #tell;
  #timer = 0;

  /** @param {(what: 'loading' | 'loaded' | 'late') => void} tell what has become of the address; `late` may still load */
  constructor(tell) {
    this.#tell = tell;
  }

  /** Shows this address, or none (null); one that is shown already is not loaded twice. */
  show(address) {
    if (byId('player').getAttribute('src') !== address) this.#load(address);
  }

  /** Loads the address once more. */
  again() {
    this.#load(byId('player').getAttribute('src'));
  }

  #load(address) {
    clearTimeout(this.#timer);
    const frame = byId('player');
    const fresh = frame.cloneNode();
    fresh.removeAttribute('src');
    frame.replaceWith(fresh);
    if (!address) return;
    this.#tell('loading');
    this.#timer = setTimeout(() => this.#tell('late'), LATE_MS);
    fresh.addEventListener('load', () => this.#loaded());
    fresh.src = address;
  }

  #loaded() {
    clearTimeout(this.#timer);
    this.#tell('loaded');
  }
}

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
