// The monitor's rooms: who is in each, how far its last change has come, and how far its evaluation is.

import { serverNow } from './clock.js';
import { byId, make, setText } from './dom.js';
import { lang, t, tOr } from './i18n.js';
import { copyOf, keepChildren } from './keep.js';
import { draw, History, makeSparkline } from './sparkline.js';

const ORDER = ['live', 'paused', 'finished', 'scheduled', 'draft', 'archived'];
const histories = new Map(); // webinar id -> History, of the rooms that are shown

export const inWords = (number) => number.toLocaleString(lang);

/** "240 ms", "1.2 s"; a dash when nobody has answered. */
export function timeInWords(ms) {
  if (ms === null || ms === undefined) return '—';
  return ms < 1000 ? t('time.ms', { ms: Math.ceil(ms) }) : t('time.s', { s: (ms / 1000).toLocaleString(lang, { maximumFractionDigits: 1 }) });
}

/** Notes the value of now and shows the last ten minutes, in a picture and in words. Returns the extremes. */
export function showHistory(holder, history, value) {
  history.add(value, Date.now());
  if (!holder.firstElementChild) holder.append(makeSparkline());
  const extremes = draw(holder.firstElementChild, history);
  const words = { least: inWords(extremes.least), most: inWords(extremes.most), now: inWords(value) };
  holder.firstElementChild.setAttribute('aria-label', t('monitor.history', words));
  return extremes;
}

function makeRoom(webinarId) {
  histories.set(webinarId, new History());
  const line = copyOf('room-line');
  line.dataset.room = webinarId;
  setText(line.querySelector('h3'), webinarId);
  return line;
}

function showRoles(list, roles) {
  const lines = keepChildren(list, Object.keys(roles), (role) => {
    const line = make('li');
    line.append(make('span', { text: tOr(`role.${role}`, role) }), ' ', make('b'));
    return line;
  });
  Object.values(roles).forEach((count, index) => setText(lines[index].querySelector('b'), inWords(count)));
}

function showReach(holder, reach) {
  holder.hidden = !reach;
  if (!reach) return;
  const { reached, of, p50_ms: half, p99_ms: most } = reach;
  setText(holder.querySelector('[data-reached]'), t('monitor.of', { part: inWords(reached), whole: inWords(of) }));
  setText(holder.querySelector('[data-p50]'), timeInWords(half));
  setText(holder.querySelector('[data-p99]'), timeInWords(most));
}

function evaluationInWords({ done, total, due_at: due }) {
  const seconds = Math.ceil((Date.parse(due) - serverNow()) / 1000);
  if (done === 0 && seconds > 0) return t('evaluation.due', { seconds, total: inWords(total) });
  return t('evaluation.done', { done: inWords(done), total: inWords(Math.max(done, total)) });
}

function showEvaluation(holder, evaluation) {
  holder.hidden = !evaluation;
  if (!evaluation) return;
  const progress = holder.querySelector('progress');
  progress.max = Math.max(1, evaluation.total, evaluation.done);
  progress.value = evaluation.done;
  progress.setAttribute('aria-label', t('evaluation.label'));
  setText(holder.querySelector('p'), evaluationInWords(evaluation));
}

function showRoom(line, room) {
  const chip = line.querySelector('.chip');
  chip.dataset.chip = room.status;
  setText(chip, t(`status.${room.status}`));
  line.querySelector('.held').dataset.total = room.total;
  setText(line.querySelector('.held b'), inWords(room.total));
  showRoles(line.querySelector('.roles'), room.roles);
  showHistory(line.querySelector('.history'), histories.get(room.webinar_id), room.total);
  showReach(line.querySelector('.reach'), room.reach);
  showEvaluation(line.querySelector('.evaluation'), room.evaluation);
}

const byUrgency = (one, other) => ORDER.indexOf(one.status) - ORDER.indexOf(other.status)
  || one.webinar_id.localeCompare(other.webinar_id);

/** Shows these rooms and forgets all others. */
export function showRooms(rooms) {
  const sorted = [...rooms].sort(byUrgency);
  const ids = sorted.map((room) => room.webinar_id);
  const lines = keepChildren(byId('rooms'), ids, makeRoom);
  sorted.forEach((room, index) => showRoom(lines[index], room));
  for (const id of histories.keys()) if (!ids.includes(id)) histories.delete(id);
  byId('no-rooms').hidden = rooms.length > 0;
}
