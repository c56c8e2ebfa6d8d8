// The organizer's report, live and afterwards: one page that answers how the webinar went.

import { getReport, getState, isFinal, learnClock, saveAttendance } from './api.js';
import { formatLength, formatMoment } from './clock.js';
import { drawCurve, readOut } from './curve.js';
import { byId, make, setText, showView } from './dom.js';
import { lang, start, t } from './i18n.js';
import { fillTable } from './keep.js';
import { looksLikeToken, takeToken, webinarInAddress } from './session.js';
import { showStatus, showTrouble, stateInWords, tokenTrouble } from './shell.js';
import { onWake, Sleeper } from './timing.js';

const ON_AIR = ['live', 'paused'];
const OVER = ['finished', 'archived'];
const SOON_MS = 10_000; // while it is on air, and while the results are worked out
const LATER_MS = 60_000;
const RETRY_MS = 5000;
const SHORT_S = 600; // a webinar as short as this is told to the second
const MOST_ROWS = 60;
const MOST_NAMED = 4; // pauses, and times at which the button was shown
const SENT = ['sent', 'dry_run'];
const ON_THE_WAY = ['queued', 'sending', 'held', 'doubtful'];

const webinarId = webinarInAddress();
const pause = new Sleeper();

const inWords = (number) => number.toLocaleString(lang);
const sum = (numbers) => numbers.reduce((one, other) => one + other, 0);
const percent = (part, whole) => (whole > 0 ? Math.round((part / whole) * 100) : 0);

/** "24:05", or "1:24:05" of a long webinar. */
function inMinutes(seconds) {
  const [hours, minutes, rest] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, Math.floor(seconds) % 60];
  const two = (number) => String(number).padStart(2, '0');
  return hours ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}

/** Moments and stretches of a time on air, in minutes: "52 min", "52–64 min"; to the second when it is short. */
function stampsOf(lengthS) {
  const isShort = lengthS < SHORT_S;
  const minutes = (seconds) => String(Math.round(seconds / 60));
  const plain = isShort ? inMinutes : minutes;
  const full = (text) => (isShort ? text : t('length.minutes', { minutes: text }));
  return {
    moment: (seconds) => full(plain(seconds)),
    stretch: ({ from_s: from, to_s: to }) => full(`${plain(from)}–${plain(to)}`),
    tick: (seconds, isLast) => (isLast ? full : String)(plain(seconds)),
  };
}

/** How long, in words that stay on one line. */
const lengthOf = (seconds) => formatLength(seconds * 1000).replaceAll(' ', '\u00a0');

/** How much of a bar is filled; of few among many a little is still seen. */
const fill = (element, part, whole) => element.style.setProperty('--share', part > 0 ? Math.max(0.01, part / whole) : 0);

/** The digits of a number in groups that the eye sees; as text it is the number. */
function showFigure(element, number) {
  const digits = String(number);
  if (element.textContent === digits) return;
  const groups = digits.match(/\d{1,3}(?=(\d{3})*$)/g);
  element.replaceChildren(...groups.map((text) => make('span', { text })));
}

function showStep(name, { count, most, note, isOpen = false }) {
  const figure = document.querySelector(`[data-report="${name}"]`);
  showFigure(figure, count);
  setText(figure.parentElement.querySelector('.note'), note);
  figure.parentElement.classList.toggle('open', isOpen);
  fill(figure.parentElement, count, most);
}

function ruleInWords({ attended_by: by, min_watch: least }) {
  const watched = t(least?.endsWith('%') ? 'rule.share' : 'rule.minutes', { number: parseInt(least, 10) });
  return t(`rule.${by}`, { watched });
}

function showFunnel(report) {
  const { registered, entered, attended, cta, pending } = report;
  const most = Math.max(registered, entered, attended, cta.clicked, 1);
  const isOver = OVER.includes(report.status);
  const open = isOver && pending > 0 ? t('report.pending', { count: inWords(pending) }) : '';
  showStep('registered', { count: registered, most, note: '' });
  showStep('entered', { count: entered, most, note: registered > 0 ? t('report.of_registered', { percent: percent(entered, registered) }) : '' });
  showStep('attended', { count: attended, most, isOpen: !isOver || pending > 0, note: open || (isOver ? t('report.of_entered', { percent: percent(attended, entered) }) : t('report.after_end')) });
  showStep('clicked', { count: cta.clicked, most, note: cta.saw > 0 ? t('report.of_saw', { percent: percent(cta.clicked, cta.saw) }) : '' });
  setText(byId('rule'), ruleInWords(report.rule));
}

/** When the button was shown, from the marks; the last time may go on to the end. */
function bandsOf({ marks, on_air_ms: onAirMs }) {
  const bands = [];
  for (const { at_s: at, kind } of marks) {
    if (kind === 'cta_shown') bands.push({ from_s: at, to_s: onAirMs / 1000 });
    if (kind === 'cta_hidden' && bands.length) bands[bands.length - 1].to_s = at;
  }
  return bands;
}

function listed(texts) {
  const named = texts.slice(0, MOST_NAMED).join(', ');
  return texts.length > MOST_NAMED ? t('report.and_more', { named, count: texts.length - MOST_NAMED }) : named;
}

function showMarks({ bands, pauses, isOver, lengthS }) {
  const { moment, stretch } = stampsOf(lengthS);
  const lines = [];
  if (bands.length) lines.push(['band', t('report.mark.cta', { times: listed(bands.map(stretch)) })]);
  if (pauses.length) lines.push(['pause', t('report.mark.pause', { times: listed(pauses.map(moment)) })]);
  if (isOver) lines.push(['end', t('report.mark.end', { time: moment(lengthS) })]);
  byId('marks').replaceChildren(...lines.map(([kind, text]) => make('li', { text, class: kind })));
}

function showTable(points) {
  const step = Math.ceil(points.length / MOST_ROWS);
  const rows = points.filter((_, index) => index % step === 0).map(({ at_s: at, leads }) => {
    const row = make('tr');
    row.append(make('th', { scope: 'row', text: inMinutes(at) }), make('td', { text: inWords(leads) }));
    return row;
  });
  byId('audience-table').querySelector('tbody').replaceChildren(...rows);
}

function showAudience(report) {
  const { audience: points, peak, on_air_ms: onAirMs } = report;
  const isThere = points.length > 0 && onAirMs > 0;
  byId('audience').hidden = !isThere;
  byId('no-audience').hidden = isThere;
  setText(byId('no-audience'), t(onAirMs > 0 ? 'report.audience.soon' : 'report.audience.none'));
  const lengthS = onAirMs / 1000;
  const { moment, tick } = stampsOf(lengthS);
  const top = points.find(({ leads }) => leads === peak); // none while the newest seconds are not told yet
  const said = t(top ? 'report.peak' : 'report.peak.now', { peak: inWords(peak), time: top ? moment(top.at_s) : '' });
  setText(byId('peak'), peak > 0 ? said : '');
  if (!isThere) return;
  const pauses = report.marks.filter(({ kind }) => kind === 'pause').map(({ at_s: at }) => at);
  const drawn = { points, lengthS, bands: bandsOf(report), pauses, isOver: OVER.includes(report.status) };
  const plot = document.querySelector('.plot');
  drawCurve({ plot, xAxis: document.querySelector('.ticks.x') }, drawn, tick);
  readOut(plot, lengthS, points, (point) => t('report.point', { time: inMinutes(point.at_s), count: inWords(point.leads) }));
  plot.querySelector('svg').setAttribute('aria-label', t('report.curve', { length: lengthOf(lengthS), said }));
  showMarks(drawn);
  showTable(points);
}

function showWatched({ watched, on_air_ms: onAirMs }) {
  const seen = sum(watched.shares);
  const words = { half: lengthOf(watched.p50_s), tenth: lengthOf(watched.p90_s), whole: lengthOf(onAirMs / 1000) };
  setText(byId('watched-said'), seen > 0 ? t('report.watched.said', words) : t('report.watched.none'));
  byId('shares').hidden = byId('shares-axis').hidden = seen === 0;
  const most = Math.max(...watched.shares, 1);
  byId('shares').replaceChildren(...watched.shares.map((leads, index) => {
    const item = make('li', { class: leads > 0 ? 'some' : '' });
    item.append(make('span', { class: 'unseen', text: `${index * 10}–${index * 10 + 10} %: ` }), make('b', { text: inWords(leads) }), make('i', { 'aria-hidden': 'true' }));
    fill(item, leads, most);
    return item;
  }));
}

function showCta({ cta, status }) {
  const isShown = cta.shown_s > 0 || cta.clicked > 0;
  byId('cta').hidden = !isShown;
  const none = t(OVER.includes(status) ? 'report.cta.never' : 'report.cta.not_yet');
  setText(byId('cta-said'), isShown ? t('report.cta.said', { percent: percent(cta.clicked, cta.saw) }) : none);
  byId('cta-shown').hidden = !isShown;
  setText(byId('cta-shown'), t('report.cta.shown', { length: lengthOf(cta.shown_s) }));
  const most = Math.max(cta.saw, cta.clicked, 1);
  for (const name of ['saw', 'clicked']) {
    setText(byId(`cta-${name}`), inWords(cta[name]));
    fill(byId(`cta-${name}`).parentElement, cta[name], most);
  }
}

/** What the statuses beside the first column are, in words: "no chat: 3". */
function named(counts, statuses) {
  const some = statuses.filter((status) => counts[status] > 0);
  return some.map((status) => `${t(`delivery.${status}`)}: ${inWords(counts[status])}`).join(', ');
}

function showMessages(messages) {
  const kinds = Object.entries(messages);
  byId('no-messages').hidden = kinds.length > 0;
  setText(byId('no-messages'), t('report.no_messages'));
  fillTable('messages', kinds.map(([kind, counts]) => {
    const failed = Object.keys(counts).filter((status) => ![...SENT, ...ON_THE_WAY].includes(status));
    const count = (statuses) => inWords(sum(statuses.map((status) => counts[status] ?? 0)));
    const note = named(counts, [...ON_THE_WAY, ...failed]);
    return { key: kind, head: t(`message.${kind}`), note, cells: [SENT, ON_THE_WAY, failed].map(count) };
  }));
}

function show(report, state) {
  showStatus(state);
  setText(byId('title'), state.title);
  const length = report.on_air_ms > 0 ? t('report.on_air', { length: lengthOf(report.on_air_ms / 1000) }) : '';
  setText(byId('when'), [formatMoment(state.started_at ?? state.scheduled_at), length].filter(Boolean).join(' · '));
  document.title = `${t('page.report')} · ${state.title} · ${stateInWords(state)}`;
  showFunnel(report);
  showAudience(report);
  showWatched(report);
  showCta(report);
  showMessages(report.messages);
  setText(byId('as-of'), t('report.as_of', { time: new Date().toLocaleTimeString(lang) }));
  showView('report');
}

function showConnection(status) {
  document.body.dataset.connection = status;
  byId('connection').hidden = status === 'polling';
  setText(byId('connection'), t(`connection.${status}`));
}

/** Shows what the server says now; returns how long to wait before the next time, or null when that is of no use. */
async function refresh(token) {
  const [report, state] = await Promise.all([getReport(webinarId, token), getState(webinarId, token)]);
  const refused = [report, state].find((answer) => answer.status !== 200);
  if (refused && isFinal(refused)) {
    const isNotOrganizer = refused.code === 'forbidden_role';
    const reason = { unauthenticated: tokenTrouble(token), webinar_unknown: 'unknown' }[refused.code];
    showTrouble(reason ?? (isNotOrganizer ? 'not_organizer' : 'no_access'));
    return null;
  }
  showConnection(refused ? 'connecting' : 'polling');
  if (refused) return Math.max(RETRY_MS, refused.retryAfterMs);
  show(report.body, state.body);
  const isMoving = ON_AIR.includes(report.body.status) || (report.body.status === 'finished' && report.body.pending > 0);
  return isMoving ? SOON_MS : LATER_MS;
}

async function saveCsv(token) {
  const button = byId('csv');
  button.disabled = true;
  button.setAttribute('aria-busy', 'true');
  const isSaved = await saveAttendance(webinarId, token);
  button.disabled = false;
  button.setAttribute('aria-busy', 'false');
  setText(byId('said'), isSaved ? '' : t('report.csv.failed'));
}

async function open(token) {
  showConnection('connecting');
  byId('csv').addEventListener('click', () => saveCsv(token));
  byId('print').addEventListener('click', () => print());
  onWake(() => pause.wake());
  learnClock();
  for (;;) {
    const wait = await refresh(token);
    if (wait === null) return;
    await pause.sleep(document.hidden ? LATER_MS : wait);
  }
}

start(() => {
  byId('again').addEventListener('click', () => location.reload());
  const token = takeToken();
  if (!token) showTrouble('no_link');
  else if (looksLikeToken(token)) open(token);
  else showTrouble('invalid');
}, 'staff');
