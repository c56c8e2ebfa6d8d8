// What the room and the console have around their content: status, connection, notices, troubles, announcements.

import { serverNow } from './clock.js';
import { byId, setText, showView } from './dom.js';
import { t } from './i18n.js';
import { readClaims } from './session.js';

const hide = (id, hidden) => byId(id)?.toggleAttribute('hidden', hidden);

/** What people call the state of a webinar: its status, or that it was called off. */
export const stateInWords = ({ status, cancelled_at: cancelledAt }) => t(`status.${cancelledAt ? 'cancelled' : status}`);

/** Shows a room's state in words on the chip, and its status as `body[data-status]`. */
export function showStatus(state) {
  document.body.dataset.status = state.status;
  hide('status', false);
  setText(byId('status'), stateInWords(state));
}

/** Reads a sentence to those who do not see the page. */
export const announce = (text) => setText(byId('announcer'), text);

/** Shows a trouble that only another link, or another try by hand, mends. */
export function showTrouble(reason) {
  delete document.body.dataset.status;
  hide('status', true);
  hide('device', true);
  setText(byId('trouble-title'), t(`trouble.${reason}`));
  setText(byId('trouble-text'), t(`trouble.${reason}.text`));
  document.title = t(`trouble.${reason}`);
  showView('trouble');
  showConnection({ status: 'refused', state: null });
}

/** Why a token was not accepted: it has run out, or is none of ours. */
export const tokenTrouble = (token) => ((readClaims(token).exp ?? Infinity) * 1000 < serverNow() ? 'expired' : 'invalid');

let countdown = 0;

function showNextTry(retryAt) {
  const seconds = Math.ceil((retryAt - Date.now()) / 1000);
  setText(byId('next-try'), seconds > 0 ? t('lost.next', { seconds }) : t('lost.now'));
}

function showNotice({ status, state, retryAt }) {
  const isLost = status === 'connecting' && state !== null;
  hide('lost', !isLost);
  hide('delayed', status !== 'polling');
  clearInterval(countdown);
  if (!isLost) return;
  showNextTry(retryAt);
  countdown = setInterval(showNextTry, 500, retryAt);
}

/** Shows how the connection stands, as words and as `body[data-connection]`. */
export function showConnection(connection) {
  const { status } = connection;
  document.body.dataset.connection = status;
  setText(byId('connection'), t(`connection.${status}`));
  byId('connection').hidden = status === 'refused';
  showNotice(connection);
}

/** Takes in every change of a connection. */
export function followConnection(connection, token) {
  const { status, reason } = connection;
  if (status === 'refused') showTrouble(reason === 'unauthenticated' ? tokenTrouble(token) : reason);
  else showConnection(connection);
}
