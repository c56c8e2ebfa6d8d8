// A quiet link to the organizer's bot, for as long as it does not know this person's chat.

import { getStanding, isFinal } from './api.js';
import { byId, make, safeUrl } from './dom.js';
import { t } from './i18n.js';
import { Backoff, onWake, Sleeper } from './timing.js';

const LOOK_MS = 5000; // after the link was opened: the bot's answer takes seconds
const LOOKS = 60; // and whoever has not pressed Start five minutes later is asked again when the page is shown

export class TelegramOffer {
  #webinarId;
  #token;
  #isAsking = false;
  #pause = new Sleeper();

  constructor(webinarId, token) {
    this.#webinarId = webinarId;
    this.#token = token;
    onWake(() => this.#isShown && this.#follow(1));
  }

  /** Shows the link, unless the server says that there is nothing to connect. */
  async offer() {
    const standing = await this.#ask();
    const url = safeUrl(standing?.telegram?.url);
    if (!url) return;
    const link = make('a', { text: t('telegram.connect'), href: url, target: '_blank', rel: 'noopener', 'data-telegram': '' });
    link.addEventListener('click', () => this.#follow(LOOKS));
    byId('telegram').replaceChildren(link, make('p', { text: t('telegram.why'), class: 'muted' }));
  }

  get #isShown() {
    return Boolean(byId('telegram').querySelector('a'));
  }

  /** Looks so many times whether it is connected by now, and then takes the link away. */
  async #follow(looks) {
    this.#pause.wake();
    if (this.#isAsking) return;
    this.#isAsking = true;
    for (let done = 0; done < looks; done += 1) {
      const standing = await this.#ask();
      if (standing?.telegram?.connected) {
        byId('telegram').replaceChildren(make('p', { text: t('telegram.connected'), role: 'status', class: 'muted' }));
        break;
      }
      if (done + 1 < looks) await this.#pause.sleep(LOOK_MS);
    }
    this.#isAsking = false;
  }

  /** What the server has stored of this person; null when it does not say. */
  async #ask() {
    const backoff = new Backoff();
    for (let tries = 0; tries < LOOKS; tries += 1) {
      const answer = await getStanding(this.#webinarId, this.#token);
      if (answer.status === 200) return answer.body;
      if (isFinal(answer)) return null;
      await this.#pause.sleep(Math.max(backoff.next(), answer.retryAfterMs));
    }
    return null;
  }
}
