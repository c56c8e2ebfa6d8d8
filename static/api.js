// Requests to the server: one answer shape for whatever happened, nothing thrown.
//
// Between a browser and the server stand proxies, caches, sign-in pages of networks and challenges of firewalls, and
// each of them answers in the server's place. Only an answer that the server itself gave counts; anything else leaves
// the question open, and whoever asked asks again.

import { learnTime, serverNow } from './clock.js';

const DEADLINE_MS = 10_000;
const LONGEST_WAIT_MS = 60_000; // whoever is asked to wait longer would miss the end of the webinar
const PROBLEM = 'urn:room-server:problem:';

/**
 * @typedef {object} Answer
 * @property {number} status  HTTP status of the server's own answer; 0 when it gave none
 * @property {number} foreign HTTP status of what somebody else answered in its place; 0 when nobody did
 * @property {any} body       decoded JSON of the server's own answer, or null
 * @property {string} code    the problem's code, or ''
 * @property {string} detail  the problem in the server's words, or ''
 * @property {string|null} etag
 * @property {number} retryAfterMs how long to wait before asking again, at most a minute
 */

/** @type {Answer} */
const NOTHING = { status: 0, foreign: 0, body: null, code: '', detail: '', etag: null, retryAfterMs: 0 };

function decoded(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** A refusal names its code in its type (RFC 9457); a success is what `isExpected` says; 304 only whoever asked for it. */
function isOurs({ status, ok, headers }, body, { isExpected, etag, token }) {
  if (token && Number(headers.get('age')) > 0) return false; // kept by a cache, which should not have
  if (status === 304) return Boolean(etag);
  return ok ? isExpected(body) : Boolean(body?.code) && body.type === PROBLEM + body.code;
}

/** Milliseconds from `Retry-After`: seconds or a date (RFC 9110, 10.2.3). */
function waitOf(header) {
  const ms = /^\d+$/.test(header ?? '') ? 1000 * Number(header) : Date.parse(header ?? '') - serverNow();
  return Math.min(LONGEST_WAIT_MS, Math.max(0, ms || 0));
}

/** @returns {Answer} */
function answerOf(response, body, question) {
  const { status, headers } = response;
  const retryAfterMs = waitOf(headers.get('retry-after'));
  if (!isOurs(response, body, question)) return { ...NOTHING, foreign: status, retryAfterMs };
  if (!headers.has('age')) learnTime(headers.get('date'));
  const problem = response.ok || status === 304 ? {} : body;
  return {
    ...NOTHING,
    status,
    body,
    code: problem.code ?? '',
    detail: problem.detail ?? problem.title ?? '',
    etag: headers.get('etag'),
    retryAfterMs,
  };
}

/**
 * @param {{isExpected: (body: any) => boolean, token?: string, etag?: string|null}} question
 * @returns {Promise<Answer>}
 */
async function request(path, options, question) {
  const { token } = question;
  const headers = { ...options.headers, ...(token && { Authorization: `Bearer ${token}` }) };
  const stop = new AbortController();
  const timer = setTimeout(() => stop.abort(), DEADLINE_MS); // AbortSignal.timeout came with Safari 16
  try { // cookies go along: a challenge of a firewall knows by them who has passed it
    const response = await fetch(path, { ...options, headers, signal: stop.signal, cache: 'no-store', redirect: 'error' });
    return answerOf(response, decoded(await response.text()), question);
  } catch {
    return NOTHING;
  } finally {
    clearTimeout(timer);
  }
}

const get = (path, isExpected, { token, etag } = {}) => request(
  path,
  { headers: etag ? { 'If-None-Match': etag } : {} },
  { isExpected, token, etag },
);

/** Where everything of one room is. */
export const roomPath = (webinarId) => `/rooms/${encodeURIComponent(webinarId)}`;

/** The room state; status 304 when `etag` still stands for it. */
export const getState = (webinarId, token, etag) => get(
  `${roomPath(webinarId)}/state`,
  (body) => body?.type === 'state' && body.webinar_id === webinarId,
  { token, etag },
);

/** What the server has stored of the attendee that asks. */
export const getStanding = (webinarId, token) => get(
  `${roomPath(webinarId)}/me`,
  (body) => body?.webinar_id === webinarId && 'attended' in body,
  { token },
);

export const getCounts = (token) => get('/monitor/counts', (body) => Array.isArray(body?.rooms), { token });

/** The organizer's report of a webinar. */
export const getReport = (webinarId, token) => get(
  `/webinars/${encodeURIComponent(webinarId)}/report`,
  (body) => body?.webinar_id === webinarId && Array.isArray(body.audience),
  { token },
);

/** Has the browser keep the attendance as a CSV file; returns whether it came whole. It has no deadline: it may be long. */
export async function saveAttendance(webinarId, token) {
  try {
    const response = await fetch(`/webinars/${encodeURIComponent(webinarId)}/attendance`, {
      headers: { Accept: 'text/csv', Authorization: `Bearer ${token}` }, cache: 'no-store', redirect: 'error',
    });
    if (!response.ok || !(response.headers.get('content-type') ?? '').startsWith('text/csv')) return false;
    const link = document.createElement('a');
    link.href = URL.createObjectURL(await response.blob());
    link.download = `attendance-${webinarId}.csv`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
    return true;
  } catch {
    return false;
  }
}

export const getSchedule = () => get('/webinars', (body) => Array.isArray(body?.webinars));

/** The webinar and the token of a short link. The code goes in a header: addresses stand in logs, headers do not. */
export const getLink = (code) => request(
  '/links',
  { headers: { 'Link-Code': code } },
  { isExpected: (body) => typeof body?.token === 'string' && typeof body.webinar_id === 'string' },
);

/** Learns the server's time where nothing else is asked for: a phone's own clock may be minutes off. */
export const learnClock = () => get('/healthz', (body) => body !== null);

/** Sends one hook once. It outlives the page: `keepalive`, where the browser has it. */
export const sendHook = (name, payload, token) => request(
  `/hooks/${name}`,
  { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(payload), keepalive: true },
  {
    isExpected: (body) => body?.webinar_id === payload.webinar_id && body.lead_id === payload.lead_id && 'duplicate' in body,
    token,
  },
);

/** Whether asking again is of no use: the server itself has answered, and does not ask for a repeat. */
export const isFinal = ({ status }) => status > 0 && status < 500 && ![408, 429].includes(status);
