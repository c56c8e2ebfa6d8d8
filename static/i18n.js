// Chooses the language (?lang=, else the browser's, else Russian) and puts its words onto the page.

import { recall, remember } from './session.js';

const LANGUAGES = ['ru', 'en'];

function choose() {
  const asked = new URLSearchParams(location.search).get('lang');
  if (LANGUAGES.includes(asked)) remember('lang', asked); // for the tab, its frames and the pages it goes to
  const spoken = (navigator.languages ?? [navigator.language ?? '']).map((tag) => tag.slice(0, 2).toLowerCase());
  return recall('lang') ?? spoken.find((tag) => LANGUAGES.includes(tag)) ?? LANGUAGES[0];
}

export const lang = choose();

let strings = {};

/** The words for `key`, with `{name}` replaced from `values`; the key itself when there are none. */
export function t(key, values = {}) {
  const text = strings[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

/** The words for `key`, or `fallback` when this language has none. */
export const tOr = (key, fallback) => strings[key] ?? fallback;

/** The token in the fragment goes along: where there is no storage, nothing else would bring it. */
function offerOtherLanguage(link) {
  const other = LANGUAGES.find((language) => language !== lang);
  const address = new URL(location.href);
  address.searchParams.set('lang', other);
  link.href = address.pathname + address.search + address.hash;
  link.lang = link.hreflang = other;
}

/** Fills every `data-t` (text) and `data-t-label` (accessible name) below `root`. */
export function translate(root) {
  for (const element of root.querySelectorAll('[data-t]')) element.textContent = t(element.dataset.t);
  for (const element of root.querySelectorAll('[data-t-label]')) {
    element.setAttribute('aria-label', t(element.dataset.tLabel));
  }
}

/**
 * Loads the words, puts them onto the page, and runs it. A page does nothing before that. The words are loaded here
 * and not by an `await` of the module: Safari 15 to 26 fails on those (WebKit 242740).
 * @param {() => void} run the page
 * @param {'staff'|'demo'} [more] whose words it needs beside those of everybody
 */
export async function start(run, more) {
  const files = [`./strings.${lang}.js`, ...(more ? [`./strings.${more}.${lang}.js`] : [])];
  const loaded = await Promise.all(files.map((file) => import(file)));
  strings = Object.assign({}, ...loaded.map((words) => words.default));
  document.documentElement.lang = lang;
  translate(document);
  document.documentElement.dataset.started = ''; // start.js has nothing to do any more
  run();
  document.querySelectorAll('[data-other-language]').forEach(offerOtherLanguage);
}
