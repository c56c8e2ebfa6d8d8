// Requests to the server: one answer shape for whatever happened, nothing thrown.

import { learnTime } from './clock.js';

const DEADLINE_MS = 10_000;

/**
 * @typedef {object} Answer
 * @property {number} status  HTTP status; 0 when nothing was answered
 * @property {any} body       decoded JSON, or null
 * @property {string} code    the problem's code, or ''
 * @property {string} detail  the problem in the server's words, or ''
 * @property {string|null} etag
 * @property {number} retryAfterMs
 */

const NOTHING = { status: 0, body: null, code: '', detail: '', etag: null, retryAfterMs: 0 };

async function bodyOf(response) {
  const isJson = /[/+]json\b/.test(response.headers.get('content-type') ?? '');
  return isJson && response.status !== 304 ? response.json() : null;
}

/** @returns {Promise<Answer>} */
async function request(path, options, token) {
  const headers = { ...options.headers, ...(token && { Authorization: `Bearer ${token}` }) };
  try {
    const signal = AbortSignal.timeout(DEADLINE_MS);
    const response = await fetch(path, { ...options, headers, signal, cache: 'no-store', credentials: 'omit' });
    const body = await bodyOf(response);
    learnTime(response.headers.get('date'));
    return {
      status: response.status,
      body,
      code: response.ok ? '' : body?.code ?? '',
      detail: response.ok ? '' : body?.detail ?? body?.title ?? '',
      etag: response.headers.get('etag'),
      retryAfterMs: 1000 * (Number(response.headers.get('retry-after')) || 0),
    };
  } catch {
    return NOTHING;
  }
}

export const get = (path, token, etag) => request(path, { headers: etag ? { 'If-None-Match': etag } : {} }, token);

/** Learns the server's time where nothing else is asked for: a phone's own clock may be minutes off. */
export const learnClock = () => get('/healthz');

/** Sends one hook once. It outlives the page: `keepalive`. */
export const sendHook = (name, payload, token) => request(`/hooks/${name}`, {
  method: 'POST',
  headers: { 'Content-Type': 'application/json' },
  body: JSON.stringify(payload),
  keepalive: true,
}, token);
