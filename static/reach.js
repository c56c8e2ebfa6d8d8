// How far the last change has come, in words: browsers that answered, not screens that showed.

import { t } from './i18n.js';

/** @param {{of: number, reached: number, p99_ms: number|null}} reach */
export function reachText({ of, reached, p99_ms: slowest }) {
  const words = { reached: reached.toLocaleString(document.documentElement.lang), of: of.toLocaleString(document.documentElement.lang) };
  return slowest === null ? t('reach.none', words) : t('reach.some', { ...words, ms: Math.ceil(slowest) });
}
