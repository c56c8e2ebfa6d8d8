// The console's preview of the player: it is framed as the room frames it, so that the speaker sees what attendees see.

import { byId, safeUrl, setText } from './dom.js';
import { t } from './i18n.js';
import { PlayerFrame, watchPlayer } from './player.js';

export class Preview {
  #webinarId;
  #state = null;
  #isRefused = false;
  #frame = new PlayerFrame((what) => this.#isRefused || this.#tell(what));

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
    this.#frame.show(address);
    byId('player').hidden = !address;
    byId('player').title = t('player.title', { title: state.title });
  }

  #tell(what) {
    byId('preview').dataset.player = what;
    byId('preview-again').hidden = !['late', 'refused'].includes(what);
    setText(byId('preview-state'), t(`console.player.${what}`, { id: this.#webinarId }));
  }
}
