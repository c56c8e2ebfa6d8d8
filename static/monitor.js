// The monitor: who is connected where and what came of hooks and messages, and loudly so when that is old.

import { learnClock } from './api.js';
import { serverNow } from './clock.js';
import { byId, setText, showView } from './dom.js';
import { CountsFeed } from './feed.js';
import { start, t, tOr } from './i18n.js';
import { fillTable } from './keep.js';
import { inWords, showHistory, showRooms, timeInWords } from './rooms.js';
import { looksLikeToken, takeToken } from './session.js';
import { showTrouble, tokenTrouble } from './shell.js';
import { History } from './sparkline.js';

const STALE_MS = 5000;
const ACCEPTED = 'ok';
const ON_THE_WAY = ['queued', 'sending', 'held', 'doubtful'];
const AT_THE_END = ['sent', 'dry_run', 'no_chat', 'opted_out', 'undeliverable', 'parked'];
const WORRYING = ['doubtful', 'undeliverable', 'parked'];

const total = new History();

const sum = (numbers) => numbers.reduce((one, other) => one + other, 0);

function showTotal(count) {
  byId('total').dataset.total = count;
  setText(byId('total'), inWords(count));
  const { most } = showHistory(byId('total-history'), total, count);
  setText(byId('total-most'), t('monitor.most', { most: inWords(most) }));
}

function showHooks(hooks) {
  const refused = Object.entries(hooks).filter(([code]) => code !== ACCEPTED).sort(([, one], [, other]) => other - one);
  const accepted = hooks[ACCEPTED] ?? 0;
  setText(byId('accepted'), inWords(accepted));
  setText(byId('refused'), t('monitor.refused', { count: inWords(sum(refused.map(([, count]) => count))) }));
  fillTable('hooks', [...(accepted ? [[ACCEPTED, accepted]] : []), ...refused].map(([code, count]) => ({
    key: code,
    head: tOr(`hook.${code}`, code),
    note: code,
    cells: [inWords(count)],
    tone: code === ACCEPTED ? 'good' : '',
  })));
  byId('no-hooks').hidden = accepted + refused.length > 0;
}

function showSlowest(rooms) {
  const answered = rooms.filter(({ reach }) => reach && reach.p99_ms !== null);
  const slowest = answered.sort((one, other) => other.reach.p99_ms - one.reach.p99_ms)[0];
  setText(byId('slowest'), timeInWords(slowest?.reach.p99_ms));
  setText(byId('slowest-room'), slowest ? t('monitor.slowest.room', { room: slowest.webinar_id }) : t('monitor.slowest.none'));
}

function showDeliveries(deliveries) {
  const linesOf = (statuses) => statuses.map((status) => {
    const count = deliveries[status] ?? 0;
    const tone = count === 0 ? 'none' : WORRYING.includes(status) ? 'bad' : '';
    return { key: status, head: t(`delivery.${status}`), cells: [inWords(count)], tone };
  });
  fillTable('on-the-way', linesOf(ON_THE_WAY));
  fillTable('at-the-end', linesOf(AT_THE_END));
  const outgoing = sum(ON_THE_WAY.map((status) => deliveries[status] ?? 0));
  setText(byId('outgoing'), inWords(outgoing));
  const parked = deliveries.parked ?? 0;
  setText(byId('parked'), parked ? t('monitor.parked', { count: inWords(parked) }) : t('monitor.not_parked'));
  byId('parked').classList.toggle('bad', parked > 0);
  return outgoing - (deliveries.held ?? 0);
}

/** A line for each receiver of the events; a server without one shows nothing. */
function showSite(receivers) {
  byId('site').hidden = receivers.length === 0;
  fillTable('site-events', receivers.map(({ receiver, state, lag, oldest_s: oldest, parked }) => ({
    key: receiver,
    head: receiver,
    note: [
      t(`site.${state}`, { seconds: Math.round(oldest) }),
      ...(parked ? [t('site.parked', { count: inWords(parked) })] : []),
    ].join(' · '),
    cells: [inWords(lag)],
    tone: state === 'off' || parked ? 'bad' : '',
  })));
}

const secondsSince = (moment) => Math.max(0, Math.round((serverNow() - moment) / 1000));

function showNodes(nodes) {
  fillTable('nodes', nodes.map(({ node, kind, total: held, seen_at: seen }) => ({
    key: node,
    head: node,
    note: `${t(`kind.${kind}`)}, ${t('monitor.seconds', { seconds: secondsSince(Date.parse(seen)) })}`,
    cells: [kind === 'worker' ? '—' : inWords(held)],
  })));
}

/** Work that only a worker does, and no worker that says it lives. */
function showWorkerMissing({ rooms, nodes }, outgoing) {
  const isOverdue = rooms.some(({ evaluation }) => evaluation && Date.parse(evaluation.due_at) < serverNow());
  const isMissing = nodes.every(({ kind }) => kind !== 'worker');
  byId('no-worker').hidden = !(isMissing && (isOverdue || outgoing > 0));
}

function show(counts) {
  showTotal(counts.total);
  showHooks(counts.hooks);
  showSlowest(counts.rooms);
  showRooms(counts.rooms);
  showSite(counts.site_events);
  showNodes(counts.nodes);
  showWorkerMissing(counts, showDeliveries(counts.deliveries));
  showView('counts');
  showAge();
}

let feed = null;
let openedAt = 0;

function showAge() {
  if (feed.status === 'refused') return;
  const age = Date.now() - (feed.heardAt || openedAt);
  const isStale = age > STALE_MS;
  const seconds = Math.round(age / 1000);
  const status = isStale || !feed.heardAt ? 'connecting' : feed.status === 'open' ? 'open' : 'polling';
  document.body.dataset.connection = status;
  document.body.toggleAttribute('data-stale', isStale);
  byId('stale').hidden = !isStale;
  setText(byId('stale-title'), t(feed.heardAt ? 'monitor.stale' : 'monitor.nothing'));
  setText(byId('stale-age'), feed.heardAt ? t('monitor.stale.age', { seconds }) : '');
  setText(byId('connection'), t(`monitor.${status}`));
  setText(byId('age'), feed.heardAt ? t('monitor.age', { seconds }) : '');
  const now = isStale ? t('monitor.stale.short') : byId('total').textContent;
  document.title = now ? `${now} · ${t('page.monitor')}` : t('page.monitor');
}

function refuse(reason, token) {
  byId('age').hidden = true;
  for (const id of ['stale', 'no-worker']) byId(id).hidden = true;
  document.body.removeAttribute('data-stale');
  showTrouble(reason === 'unauthenticated' ? tokenTrouble(token) : reason);
}

function open(token) {
  openedAt = Date.now();
  feed = new CountsFeed(token, show, (reason) => refuse(reason, token));
  setInterval(showAge, 500);
  feed.start();
  learnClock();
}

start(() => {
  byId('again').addEventListener('click', () => location.reload());
  const token = takeToken();
  if (!token) showTrouble('no_link');
  else if (looksLikeToken(token)) open(token);
  else showTrouble('invalid');
}, 'staff');
