// The public schedule: what is on now, what comes, what was.

import { get } from './api.js';
import { formatMoment } from './clock.js';
import { byId, make, setText } from './dom.js';
import { t, translatePage } from './i18n.js';

const REFRESH_MS = 15_000;
const GROUPS = { live: 'now', paused: 'now', scheduled: 'upcoming', finished: 'past', archived: 'past' };

function lineOf(webinar) {
  const line = make('li', { 'data-webinar': webinar.webinar_id, class: 'card' });
  const chip = make('span', { text: t(`status.${webinar.status}`), class: 'chip', 'data-chip': webinar.status });
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
  if (JSON.stringify(webinars) === shown) return;
  shown = JSON.stringify(webinars);
  for (const name of ['now', 'upcoming', 'past']) {
    showGroup(name, webinars.filter(({ status }) => GROUPS[status] === name));
  }
  byId('empty').hidden = webinars.length > 0;
}

async function refresh() {
  const { status, body } = await get('/webinars');
  if (status === 200) show(body.webinars);
  byId('stale').hidden = status === 200;
}

translatePage();
setText(byId('zone'), t('schedule.zone', { zone: Intl.DateTimeFormat().resolvedOptions().timeZone }));
refresh();
setInterval(() => document.hidden || refresh(), REFRESH_MS);
document.addEventListener('visibilitychange', () => document.hidden || refresh());
