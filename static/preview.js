// The console's preview of the player: it is framed as the room frames it, so that the speaker sees what attendees see.

import { byId, safeUrl, setText } from './dom.js';
import { t } from './i18n.js';
import { watchPlayer } from './player.js';

const LATE_MS = 15_000;

export class Preview {
  #webinarId;
  #state = null;
  #isRefused = false;
  #timer = 0;

  constructor(webinarId) {
    this.#webinarId = webinarId;
    const reload = watchPlayer(() => `${this.#state?.epoch}.${this.#state?.version}`, () => {
      this.#isRefused = true;
      this.#tell('refused');
    });
    byId('preview-again').addEventListener('click', reload);
  }

  /** Takes in each room state: a player is named while the webinar is live or paused. */
  follow(state) {
    this.#state = state;
    const isOn = ['live', 'paused'].includes(state.status);
    byId('preview').hidden = !isOn;
    const address = isOn ? safeUrl(state.player_url) : null;
    if (isOn && !address) this.#tell('none');
    this.#frame(address);
  }

  /** A frame that has no address any more may go on playing: it is replaced by an empty one. */
  #frame(address) {
    const frame = byId('player');
    if ((frame.getAttribute('src') ?? null) === address) return;
    clearTimeout(this.#timer);
    const fresh = frame.cloneNode();
    fresh.removeAttribute('src');
    frame.replaceWith(fresh);
    fresh.hidden = !address;
    if (!address) return;
    this.#tell('loading');
    this.#timer = setTimeout(() => this.#tell('late'), LATE_MS);
    fresh.title = t('player.title', { title: this.#state.title });
    fresh.addEventListener('load', () => this.#loaded());
    fresh.src = address;
  }

  #loaded() {
    clearTimeout(this.#timer);
    if (!this.#isRefused) this.#tell('loaded');
  }

  #tell(what) {
    byId('preview').dataset.player = what;
    byId('preview-again').hidden = !['late', 'refused'].includes(what);
    setText(byId('preview-state'), t(`console.player.${what}`, { id: this.#webinarId }));
  }
}
