// The server's time as far as it is known, and times and durations in words of the reader's language.

import { lang, t } from './i18n.js';

const MISSED_MS = 86_400_000; // a webinar that has not started a day after its time did not take place
const NOISE_MS = 2000; // a Date header has whole seconds and has travelled

let ahead = 0;

/** Corrects the clock by the `Date` header of an answer that arrived just now. */
export function learnTime(header) {
  const difference = Date.parse(header ?? '') + 500 - Date.now();
  if (Number.isFinite(difference)) ahead = Math.abs(difference) > NOISE_MS ? difference : 0;
}

export const serverNow = () => Date.now() + ahead;

/** Whether a webinar's planned time is long over, and it never started. */
export const isMissed = ({ status, scheduled_at: planned }) => status === 'scheduled' && serverNow() - Date.parse(planned) > MISSED_MS;

const moment = new Intl.DateTimeFormat(lang, {
  weekday: 'long', day: 'numeric', month: 'long', year: 'numeric', hour: 'numeric', minute: '2-digit',
  timeZoneName: 'short',
});

/** "Sunday, 22 November 2026, 21:00 GMT+3", in the reader's own zone. */
export const formatMoment = (iso) => moment.format(new Date(iso));

const twoDigits = (number) => String(number).padStart(2, '0');

/** Whole days, hours, minutes and seconds; nothing below zero. */
export function parts(ms) {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  return {
    days: Math.floor(seconds / 86400),
    hours: Math.floor(seconds / 3600) % 24,
    minutes: Math.floor(seconds / 60) % 60,
    seconds: seconds % 60,
  };
}

/** "1:02:03". */
export function formatClock(ms) {
  const { days, hours, minutes, seconds } = parts(ms);
  return `${days * 24 + hours}:${twoDigits(minutes)}:${twoDigits(seconds)}`;
}

/** "1 h 20 min". */
export function formatLength(ms) {
  const { days, hours, minutes } = parts(ms);
  const whole = days * 24 + hours;
  return whole ? t('length.hours', { hours: whole, minutes }) : t('length.minutes', { minutes: Math.max(1, minutes) });
}

/** Milliseconds on air of a room state until now, pauses excluded. */
export function onAir(state) {
  const running = state.on_air_since ? serverNow() - Date.parse(state.on_air_since) : 0;
  return state.on_air_ms + Math.max(0, running);
}
