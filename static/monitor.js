// The monitor: who is connected where, as plain tables, and loudly so when what is shown is old.

import { get } from './api.js';
import { serverNow } from './clock.js';
import { byId, make, setText, showView } from './dom.js';
import { t, translatePage } from './i18n.js';
import { reachText } from './reach.js';
import { looksLikeToken, takeToken } from './session.js';
import { showTrouble, tokenTrouble } from './shell.js';

const EVERY_MS = 1500;
const STALE_MS = 6000;

let shownAt = 0;

const rolesOf = (roles) => Object.entries(roles).map(([role, count]) => `${role} ${count}`).join(', ');

const ageOf = (iso) => t('monitor.seconds', { seconds: Math.max(0, Math.round((serverNow() - Date.parse(iso)) / 1000)) });

/** Fills a table; its first cell of each row heads the row. */
function fill(id, rows) {
  const lines = rows.map(([head, ...cells]) => {
    const line = document.createElement('tr');
    line.append(make('th', { text: head, scope: 'row' }), ...cells.map((text) => make('td', { text: String(text) })));
    return line;
  });
  byId(id).querySelector('tbody').replaceChildren(...lines);
  byId(id).hidden = lines.length === 0;
}

function show(counts) {
  shownAt = Date.now();
  byId('total').dataset.total = counts.total;
  setText(byId('total'), String(counts.total));
  fill('rooms', counts.rooms.map((room) => [room.webinar_id, t(`status.${room.status}`), room.total, rolesOf(room.roles), room.reach ? reachText(room.reach) : '']));
  fill('nodes', (counts.nodes ?? []).map((node) => [node.node, node.kind, node.total ?? '', ageOf(node.seen_at)]));
  fill('hooks', Object.entries(counts.hooks ?? {}));
  fill('deliveries', Object.entries(counts.deliveries ?? {}));
  showView('counts');
}

function showAge() {
  const age = Date.now() - shownAt;
  const isStale = age > STALE_MS;
  document.body.dataset.connection = isStale ? 'connecting' : 'polling';
  byId('stale').hidden = !isStale;
  const seconds = Math.round(age / 1000);
  setText(byId('stale'), shownAt ? t('monitor.stale', { seconds }) : t('monitor.nothing'));
  setText(byId('connection'), isStale ? t('connection.connecting') : t('monitor.fresh'));
}

async function follow(token) {
  const { status, body } = await get('/monitor/counts', token);
  if (status === 401 || status === 403) {
    showTrouble(status === 401 ? tokenTrouble(token) : 'no_access');
    return;
  }
  if (status === 200) show(body);
  showAge();
  setTimeout(follow, EVERY_MS, token);
}

function open(token) {
  setInterval(() => document.body.dataset.connection !== 'refused' && showAge(), 1000);
  follow(token);
}

translatePage();
byId('again').addEventListener('click', () => location.reload());
const token = takeToken();
if (!token) showTrouble('no_link');
else if (looksLikeToken(token)) open(token);
else showTrouble('invalid');
