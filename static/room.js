// The attendee's page: shows the room as it is and reports that this person came and stayed.

import { learnClock } from './api.js';
import { Attendance } from './attendance.js';
import { clickReporter } from './click.js';
import { formatLength, formatMoment, isMissed, parts, serverNow } from './clock.js';
import { RoomConnection } from './connection.js';
import { offerLink } from './device.js';
import { byId, make, safeUrl, setText, showView } from './dom.js';
import { start, t } from './i18n.js';
import { PlayerFrame, watchPlayer } from './player.js';
import { looksLikeToken, readClaims, takeToken, webinarInAddress } from './session.js';
import { announce, followConnection, showStatus, showTrouble, stateInWords } from './shell.js';
import { Tabs } from './tabs.js';
import { TelegramOffer } from './telegram.js';

const VIEWS = { draft: 'before', scheduled: 'before', live: 'stage', paused: 'stage', finished: 'after', archived: 'after' };

let state = null;
let isElsewhere = false; // another tab of this browser plays the broadcast
let isRefused = false; // the page's policy keeps the player out
let isLate = false; // the player has not loaded for so long that it is said
let reloadForPlayer = () => {};
let reportClick = () => {};

function showCountdown() {
  if (VIEWS[state?.status] !== 'before') return;
  const left = Date.parse(state.scheduled_at) - serverNow();
  const isCancelled = Boolean(state.cancelled_at);
  const isExpected = !isCancelled && !isMissed(state);
  byId('cancelled').hidden = !isCancelled;
  byId('missed').hidden = isCancelled || isExpected;
  byId('expect').hidden = !isExpected;
  byId('countdown').hidden = !(isExpected && left > 0);
  byId('any-moment').hidden = !(isExpected && left <= 0);
  byId('days-left').hidden = left < 86_400_000;
  for (const [unit, value] of Object.entries(parts(left))) setText(byId(unit), String(value).padStart(2, '0'));
}

function showBefore() {
  byId('when').dateTime = state.scheduled_at;
  setText(byId('when'), formatMoment(state.scheduled_at));
  showCountdown();
}

const frame = new PlayerFrame((what) => {
  isLate = what === 'late';
  showLate();
});

/** A player that is late may work in spite of it (a part of it hangs), so this leaves most of it to be seen. */
function showLate() {
  const isSeen = !byId('player').hidden && byId('paused').hidden;
  byId('late-player').hidden = !(isLate && isSeen);
}

/** The player stays in place through a pause and is never loaded twice for one address. */
function showPlayer() {
  const address = isElsewhere ? null : safeUrl(state.player_url);
  frame.show(address);
  const player = byId('player');
  player.title = t('player.title', { title: state.title });
  player.hidden = !address || isRefused;
  player.inert = state.status === 'paused';
  byId('elsewhere').hidden = !isElsewhere;
  byId('no-player').hidden = Boolean(address) || isElsewhere;
  byId('refused-player').hidden = !(address && isRefused);
  byId('paused').hidden = state.status !== 'paused' || isElsewhere;
  showLate();
}

function showCta() {
  const slot = byId('cta');
  const address = state.cta.visibility === 'visible' ? safeUrl(state.cta.url) : null;
  const shown = slot.firstElementChild;
  const label = state.cta.label || t('cta.default');
  if (shown?.href === address && shown?.textContent === label) return;
  slot.replaceChildren();
  if (!address) return;
  const link = make('a', { text: label, href: address, target: '_blank', rel: 'noopener', class: 'button', 'data-cta': '' });
  for (const kind of ['click', 'auxclick']) link.addEventListener(kind, (event) => event.button === 2 || reportClick());
  slot.append(link);
  announce(t('announce.cta', { label }));
}

function leaveStage() {
  frame.show(null);
  byId('cta').replaceChildren();
}

function showAfter() {
  setText(byId('after-title'), t(state.status === 'archived' ? 'after.archived' : 'after.title'));
  setText(byId('length'), state.on_air_ms > 0 ? t('after.length', { length: formatLength(state.on_air_ms) }) : '');
  const recording = safeUrl(state.recording_url);
  byId('recording').hidden = !recording;
  byId('length').hidden = !(state.on_air_ms > 0);
  byId('no-recording').hidden = Boolean(recording) || state.status === 'archived';
  if (recording) byId('recording').href = recording;
}

function showCounted(counted, watchedS = 0) {
  document.body.dataset.counted = counted;
  byId('watched').hidden = !(watchedS > 0);
  setText(byId('watched'), t('after.watched', { length: formatLength(watchedS * 1000) }));
  byId('completed').hidden = !counted;
  byId('not-counted').hidden = counted;
}

function leaveAfter() {
  delete document.body.dataset.counted;
  for (const id of ['completed', 'not-counted', 'watched']) byId(id).hidden = true;
}

function showState(newer) {
  const changed = !state || stateInWords(state) !== stateInWords(newer);
  state = newer;
  if (isRefused) reloadForPlayer(); // what has changed may be whom the page may frame
  const view = VIEWS[state.status];
  showStatus(state);
  document.title = `${state.title} · ${stateInWords(state)}`;
  for (const title of document.querySelectorAll('[data-title]')) setText(title, state.title);
  for (const text of document.querySelectorAll('[data-description]')) setText(text, state.description);
  if (changed) announce(stateInWords(state));
  if (view === 'before') showBefore();
  if (view === 'stage') [showPlayer, showCta].forEach((show) => show());
  else leaveStage();
  if (view === 'after') showAfter();
  else leaveAfter();
  showView(view);
}

/** Only what an attendee does is reported. */
function attendeeOf(webinarId, token) {
  const { role, sub } = readClaims(token);
  const leadId = Number(sub);
  return role === 'attendee' && Number.isSafeInteger(leadId) && leadId > 0 ? { webinarId, leadId, token } : null;
}

function attendanceOf(attendee) {
  const on = {
    step: (step) => {
      document.body.dataset.attendance = step;
      byId('entered').hidden = false;
    },
    counted: showCounted,
    trouble: (isTrying) => {
      byId('unreported').hidden = !isTrying;
    },
  };
  return new Attendance({ ...attendee, on });
}

function showRefusedPlayer() {
  isRefused = true;
  if (VIEWS[state?.status] === 'stage') showPlayer();
}

function enter(token) {
  const webinarId = webinarInAddress();
  const attendee = attendeeOf(webinarId, token);
  const attendance = attendee && attendanceOf(attendee);
  if (attendee) reportClick = clickReporter(attendee);
  let offer = attendee && new TelegramOffer(webinarId, token);
  const connection = new RoomConnection({
    webinarId,
    token,
    onState: (newer) => {
      showState(newer);
      attendance?.follow(newer);
      offer?.offer(); // once the room is shown: it comes first
      offer = null;
    },
    onStatus: (changed) => followConnection(changed, token),
  });
  const tabs = new Tabs(`room:${webinarId}`, (isHere) => {
    isElsewhere = !isHere;
    if (VIEWS[state?.status] === 'stage') showPlayer();
  });
  tabs.claim();
  reloadForPlayer = watchPlayer(() => `${state?.epoch}.${state?.version}`, showRefusedPlayer);
  byId('watch-here').addEventListener('click', () => tabs.claim());
  byId('player-again').addEventListener('click', () => frame.again());
  byId('player-leave').addEventListener('click', () => {
    isLate = false;
    showLate();
  });
  byId('try-now').addEventListener('click', () => connection.wake());
  setInterval(showCountdown, 500);
  offerLink(token);
  learnClock();
  connection.start();
}

start(() => {
  for (const id of ['again', 'reload']) byId(id).addEventListener('click', () => location.reload());
  const token = takeToken();
  if (!token) showTrouble('no_link');
  else if (looksLikeToken(token)) enter(token);
  else showTrouble('invalid');
});
