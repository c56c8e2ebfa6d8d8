// Chooses the language (?lang=, else the browser's, else Russian) and puts its words onto the page.

import { recall, remember } from './session.js';

const LANGUAGES = ['ru', 'en'];

function choose() {
  const asked = new URLSearchParams(location.search).get('lang');
  if (LANGUAGES.includes(asked)) remember('lang', asked); // for the tab, its frames and the pages it goes to
  const spoken = navigator.languages.map((tag) => tag.slice(0, 2).toLowerCase());
  return recall('lang') ?? spoken.find((tag) => LANGUAGES.includes(tag)) ?? LANGUAGES[0];
}

export const lang = choose();

const strings = (await import(`./strings.${lang}.js`)).default;

/** The words for `key`, with `{name}` replaced from `values`; the key itself when there are none. */
export function t(key, values = {}) {
  const text = strings[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

/** The words for `key`, or `fallback` when this language has none. */
export const tOr = (key, fallback) => strings[key] ?? fallback;

function offerOtherLanguage(link) {
  const other = LANGUAGES.find((language) => language !== lang);
  const address = new URL(location.href);
  address.searchParams.set('lang', other);
  address.hash = '';
  link.href = address.pathname + address.search;
  link.lang = link.hreflang = other;
}

/** Fills every `data-t` (text) and `data-t-label` (accessible name) below `root`. */
export function translate(root) {
  for (const element of root.querySelectorAll('[data-t]')) element.textContent = t(element.dataset.t);
  for (const element of root.querySelectorAll('[data-t-label]')) {
    element.setAttribute('aria-label', t(element.dataset.tLabel));
  }
}

export function translatePage() {
  document.documentElement.lang = lang;
  translate(document);
  document.querySelectorAll('[data-other-language]').forEach(offerOtherLanguage);
}
