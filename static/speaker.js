// The speaker's console: start, stop and the call to action, each as the hook made for it.

import { getCounts, isFinal, learnClock, sendHook } from './api.js';
import { formatClock, formatLength, formatMoment, onAir, serverNow } from './clock.js';
import { RoomConnection } from './connection.js';
import { offerLink } from './device.js';
import { closeDialog, openDialog } from './dialog.js';
import { byId, setText, showView } from './dom.js';
import { lang, start, t, tOr } from './i18n.js';
import { Preview } from './preview.js';
import { reachText } from './reach.js';
import { looksLikeToken, readClaims, takeToken, webinarInAddress } from './session.js';
import { announce, followConnection, showStatus, showTrouble, stateInWords } from './shell.js';

const LONG_MS = 6 * 3600 * 1000; // on air this long, somebody forgot to stop
const EARLY_MS = 3600 * 1000; // a start this long before its time is perhaps of another webinar
const COUNTS_MS = 2000;

const timeLeft = (state) => Date.parse(state.scheduled_at) - serverNow();

/** When a button can be pressed and is shown, what is asked before, and what its hook says. */
const ACTIONS = {
  start: {
    during: ['scheduled'],
    shown: ['draft', 'scheduled'],
    question: (state) => timeLeft(state) > EARLY_MS && {
      name: 'early',
      text: t('early.text', { left: formatLength(timeLeft(state)), when: formatMoment(state.scheduled_at) }),
    },
    hook: 'core_webinar_set_status',
    payload: () => ({ status: 'start' }),
  },
  stop: {
    during: ['live', 'paused'],
    shown: ['live', 'paused'],
    question: () => ({ name: 'stop', text: t('stop.text') }),
    hook: 'core_webinar_set_status',
    payload: () => ({ status: 'stop' }),
  },
  cta: {
    during: ['scheduled', 'live', 'paused'],
    shown: ['draft', 'scheduled', 'live', 'paused'],
    question: () => null,
    hook: 'core_webinar_set_cta_visibility',
    payload: (state) => ({ visible: state.cta.visibility !== 'visible' }),
  },
};

const webinarId = webinarInAddress();
const underWay = new Set();
let token = null;
let connection = null;
let preview = null;
let mayAct = false;
let asked = ''; // the action that the open dialog asks about

const buttonOf = (action) => document.querySelector(`button[data-hook="${action}"]`);

function showButtons(state) {
  for (const [action, { during, shown }] of Object.entries(ACTIONS)) {
    const button = buttonOf(action);
    button.hidden = !shown.includes(state.status);
    const isOff = action === 'start' && state.cancelled_at;
    button.disabled = !mayAct || !during.includes(state.status) || underWay.has(action) || Boolean(isOff);
    button.setAttribute('aria-busy', underWay.has(action));
  }
}

function showCta(cta) {
  const visible = cta.visibility === 'visible';
  byId('cta').dataset.visibility = cta.visibility;
  setText(byId('cta-state'), t(`console.cta.${cta.visibility}`));
  setText(byId('cta-what'), visible ? [cta.label, cta.url].filter(Boolean).join(' · ') || t('console.cta.empty') : '');
  setText(buttonOf('cta'), t(visible ? 'console.cta.hide' : 'console.cta.show'));
}

function showOnAir() {
  const { state } = connection;
  if (!state) return;
  const time = onAir(state);
  setText(byId('on-air'), formatClock(time));
  const isTooLong = ACTIONS.stop.during.includes(state.status) && time >= LONG_MS;
  byId('too-long').hidden = !isTooLong;
  document.title = `${isTooLong ? '⚠ ' : ''}${stateInWords(state)} · ${state.title}`;
}

function showState(state) {
  if (byId('console').hidden && mayAct) showConnections();
  showStatus(state);
  setText(byId('title'), state.title);
  setText(byId('hint'), t(`console.hint.${state.cancelled_at ? 'cancelled' : state.status}`));
  setText(byId('when'), formatMoment(state.scheduled_at));
  announce(stateInWords(state));
  showCta(state.cta);
  const isOver = ['finished', 'archived'].includes(state.status);
  byId('cta').hidden = byId('actions').hidden = isOver;
  showOnAir();
  showButtons(state);
  if (!ACTIONS[asked]?.during.includes(state.status) || state.cancelled_at) closeDialog(byId('question'));
  preview.follow(state);
  showView('console');
}

function reasonOf({ status, foreign, code, detail }) {
  if (foreign) return t('problem.foreign', { status: foreign });
  return tOr(`problem.${code}`, detail) || t(status ? 'problem.other' : 'problem.offline', { status });
}

function showRefusal(answer) {
  const reason = reasonOf(answer);
  setText(byId('refusal-text'), reason);
  byId('refusal').hidden = false;
}

/** The button stays disabled until the page has seen what its hook did. */
async function act(action) {
  const { hook, payload } = ACTIONS[action];
  underWay.add(action);
  byId('refusal').hidden = true;
  showButtons(connection.state);
  const answer = await sendHook(hook, { webinar_id: webinarId, ...payload(connection.state) }, token);
  if (answer.status !== 200) showRefusal(answer);
  const isBehind = answer.status === 200 ? connection.state.version < answer.body.version : answer.status > 0;
  if (isBehind) await connection.read();
  underWay.delete(action);
  showButtons(connection.state);
  if (document.activeElement === document.body) buttonOf(action).focus(); // being disabled took the focus away
}

/** How the webinar went, once it is over: the headline of the organizer's report. */
function showOutcome({ outcome, evaluation } = {}) {
  byId('outcome').hidden = !outcome;
  if (!outcome) return;
  const words = Object.fromEntries(Object.entries(outcome).map(([name, count]) => [name, count.toLocaleString(lang)]));
  const isOpen = evaluation && evaluation.done < evaluation.total;
  const isFinished = connection.state?.status === 'finished';
  if (isFinished) setText(byId('hint'), isOpen ? t('console.outcome.open', evaluation) : t('console.hint.over'));
  setText(byId('outcome'), t('console.outcome', words));
}

async function showConnections() {
  const answer = await getCounts(token);
  const { status, body } = answer;
  const room = body?.rooms?.find((one) => one.webinar_id === webinarId);
  byId('connections').hidden = status !== 200;
  const number = document.querySelector('[data-connections]');
  number.dataset.connections = room?.total ?? 0;
  setText(number, String(room?.total ?? 0));
  showOutcome(room);
  byId('reach').hidden = !room?.reach;
  if (room?.reach) setText(byId('reach-text'), reachText(room.reach));
  const isRefused = status !== 200 && isFinal(answer);
  if (isRefused || connection.status === 'refused') return;
  setTimeout(showConnections, Math.max(document.hidden ? 5 * COUNTS_MS : COUNTS_MS, answer.retryAfterMs));
}

/** Asks first where that is wise; the answer "yes" acts. */
function press(action) {
  const question = ACTIONS[action].question(connection.state);
  if (!question) {
    act(action);
    return;
  }
  asked = action;
  const dialog = byId('question');
  setText(byId('question-title'), t(`${question.name}.title`));
  setText(byId('question-text'), question.text);
  const confirm = dialog.querySelector('[data-confirm]');
  setText(confirm, t(`${question.name}.confirm`));
  confirm.classList.toggle('danger', action === 'stop');
  setText(dialog.querySelector('[data-cancel]'), t(`${question.name}.cancel`));
  openDialog(dialog);
}

function listen() {
  const dialog = byId('question');
  for (const action of Object.keys(ACTIONS)) buttonOf(action).addEventListener('click', () => press(action));
  dialog.querySelector('[data-confirm]').addEventListener('click', () => {
    closeDialog(dialog);
    act(asked);
  });
  dialog.querySelector('[data-cancel]').addEventListener('click', () => closeDialog(dialog));
  byId('refusal-close').addEventListener('click', () => {
    byId('refusal').hidden = true;
  });
  byId('try-now').addEventListener('click', () => connection.wake());
}

function open() {
  mayAct = ['organizer', 'speaker'].includes(readClaims(token).role);
  byId('read-only').hidden = mayAct;
  connection = new RoomConnection({
    webinarId,
    token,
    onState: showState,
    onStatus: (changed) => followConnection(changed, token),
  });
  preview = new Preview(webinarId);
  listen();
  offerLink(token);
  setInterval(showOnAir, 250);
  learnClock();
  connection.start();
}

start(() => {
  byId('again').addEventListener('click', () => location.reload());
  token = takeToken();
  if (!token) showTrouble('no_link');
  else if (!looksLikeToken(token)) showTrouble('invalid');
  else if (readClaims(token).role === 'attendee') showTrouble('not_speaker');
  else open();
}, 'staff');
