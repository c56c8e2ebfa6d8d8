// Lists whose lines stay in place while what they show is there: nothing that is read or selected jumps.

import { byId, make, setText } from './dom.js';
import { translate } from './i18n.js';

/** A translated copy of the `<template>` with this id. */
export function copyOf(id) {
  const element = byId(id).content.firstElementChild.cloneNode(true);
  translate(element);
  return element;
}

/**
 * One child of `parent` for each key, in this order.
 * @param {(key: string) => Element} create called for a key that has no child yet
 * @returns {Element[]} the children
 */
export function keepChildren(parent, keys, create) {
  const known = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  const wanted = keys.map((key) => {
    const child = known.get(key) ?? create(key);
    child.dataset.key = key;
    return child;
  });
  for (const [key, child] of known) if (!keys.includes(key)) child.remove();
  wanted.forEach((child, index) => {
    if (parent.children[index] !== child) parent.insertBefore(child, parent.children[index] ?? null);
  });
  return wanted;
}

function makeRow(cells) {
  const row = make('tr');
  const head = make('th', { scope: 'row' });
  head.append(make('span'), make('small'));
  row.append(head, ...Array.from({ length: cells }, () => make('td')));
  return row;
}

/**
 * Fills the table with this id; without lines it is hidden.
 * @param {{key: string, head: string, note?: string, cells: string[], tone?: string}[]} lines `note` explains `head`
 */
export function fillTable(id, lines) {
  const body = byId(id).querySelector('tbody');
  const rows = keepChildren(body, lines.map(({ key }) => key), () => makeRow(lines[0].cells.length));
  lines.forEach(({ head, note = '', cells, tone = '' }, index) => {
    const [first, ...others] = rows[index].children;
    setText(first.firstElementChild, head);
    setText(first.lastElementChild, note);
    cells.forEach((text, column) => setText(others[column], text));
    rows[index].className = tone;
  });
  byId(id).hidden = lines.length === 0;
}
