// The public schedule: what is on now, what comes, what was.

import { getSchedule } from './api.js';
import { formatMoment, isMissed } from './clock.js';
import { byId, make, setText } from './dom.js';
import { start, t } from './i18n.js';
import { Backoff, onWake, Sleeper } from './timing.js';

const REFRESH_MS = 15_000;
const UNSEEN_MS = 600_000; // a page that nobody sees; it wakes when it is shown
const GROUPS = { live: 'now', paused: 'now', scheduled: 'upcoming', finished: 'past', archived: 'past' };

const groupOf = (webinar) => (isMissed(webinar) ? 'past' : GROUPS[webinar.status]);

function stateOf(webinar) {
  if (webinar.cancelled_at) return 'cancelled';
  return isMissed(webinar) ? 'missed' : webinar.status;
}

function lineOf(webinar) {
  const line = make('li', { 'data-webinar': webinar.webinar_id, class: 'card' });
  const state = stateOf(webinar);
  const chip = make('span', { text: t(`status.${state}`), class: 'chip', 'data-chip': state });
  const time = make('time', { text: formatMoment(webinar.scheduled_at), datetime: webinar.scheduled_at });
  line.append(chip, make('h3', { text: webinar.title }), time);
  if (webinar.description) line.append(make('p', { text: webinar.description }));
  return line;
}

function showGroup(name, webinars) {
  const sign = name === 'past' ? -1 : 1; // what comes next, and what was last, stands first
  const sorted = [...webinars].sort((one, other) => sign * (Date.parse(one.scheduled_at) - Date.parse(other.scheduled_at)));
  byId(name).hidden = sorted.length === 0;
  byId(name).querySelector('ul').replaceChildren(...sorted.map(lineOf));
}

let shown = '';

function show(webinars) {
  const newer = JSON.stringify(webinars.map((webinar) => [webinar, groupOf(webinar)])); // time alone changes a group
  if (newer === shown) return;
  shown = newer;
  for (const name of ['now', 'upcoming', 'past']) {
    showGroup(name, webinars.filter((webinar) => groupOf(webinar) === name));
  }
  byId('empty').hidden = webinars.length > 0;
}

/** Reads the schedule again and again: at leisure while that works, with back-off while it does not. */
async function follow() {
  const backoff = new Backoff();
  const pause = new Sleeper();
  onWake(() => pause.wake());
  for (;;) {
    const { status, body, retryAfterMs } = await getSchedule();
    if (status === 200) show(body.webinars);
    byId('stale').hidden = status === 200;
    if (status === 200) backoff.reset();
    const delay = status === 200 ? REFRESH_MS : backoff.next();
    await pause.sleep(document.hidden ? UNSEEN_MS : Math.max(delay, retryAfterMs));
  }
}

start(() => {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (zone) setText(byId('zone'), t('schedule.zone', { zone }));
  follow();
});
