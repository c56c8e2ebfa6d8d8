// What a page knows of its visitor: the token in its address, and notes that outlive a reload.

/** What is kept with this entry of the tab's history, which outlives a reload as well. */
const inHistory = () => history.state ?? {};

/** A note of this tab, or null. */
export function recall(key) {
  try {
    return sessionStorage.getItem(key) ?? inHistory()[key] ?? null;
  } catch {
    return inHistory()[key] ?? null; // frames of other sites, and browsers that are told so, have no storage
  }
}

/** Keeps a note for this tab; returns whether every page of this tab can read it, not only this address. */
export function remember(key, value) {
  try {
    sessionStorage.setItem(key, value);
    return true;
  } catch {
    replaceEntry(location.href, { ...inHistory(), [key]: value });
    return false;
  }
}

function replaceEntry(address, state = history.state) {
  try {
    history.replaceState(state, '', address);
  } catch {
    // browsers refuse more than about three a second: the address then stays as it is
  }
}

const MOST_ENCODINGS = 3;

/** The text without its percent-encodings, however often it was encoded. */
function decoded(text) {
  let plain = text;
  for (let round = 0; round < MOST_ENCODINGS && plain.includes('%'); round += 1) {
    try {
      plain = decodeURIComponent(plain);
    } catch {
      break; // a lone % means itself
    }
  }
  return plain;
}

/**
 * The token in a part of an address, also after what mailers, trackers and copying do to it: encoded once or twice,
 * broken by line ends, with more parameters, dots or brackets behind. What is given as a token and is none comes back
 * as it is; null means that none was given.
 */
export function tokenIn(part) {
  const plain = decoded(part).replace(/=\r?\n|[\s\u00ad\u200b-\u200d\u2060\ufeff]/g, '');
  const token = /eyJ[\w-]*\.[\w-]+\.[\w-]+/.exec(plain); // the first letters of every JSON object in base64
  return token ? token[0] : /(?:^|[#?&;/])token=([^&]+)/.exec(plain)?.[1] ?? null;
}

const tokenKey = () => `token:${location.pathname.replace(/\/$/, '')}`;

/** The query without a token that a mailer has moved there: the query is sent, the fragment is not. */
function cleanQuery() {
  const kept = [...new URLSearchParams(location.search)].filter(([name, value]) => tokenIn(`${name}=${value}`) === null);
  return kept.length ? `?${new URLSearchParams(kept)}` : '';
}

/**
 * The token of this page: from its address, else as kept for the tab; null when there is none.
 * An attendee's stays in the address, which can be copied, opened elsewhere and restored. Any other leaves it, since
 * whoever may do more shares their screen, unless a reload would lose it then.
 */
export function takeToken() {
  const given = tokenIn(location.hash) ?? tokenIn(location.search);
  const token = given ?? recall(tokenKey());
  if (token) {
    const isKept = remember(tokenKey(), token);
    const stays = readClaims(token).role === 'attendee' || !isKept;
    replaceEntry(location.pathname + cleanQuery() + (stays ? `#token=${token}` : ''));
  }
  // A new link pasted into the same tab changes only the fragment, which loads nothing.
  addEventListener('hashchange', () => tokenIn(location.hash) !== null && location.reload());
  return token;
}

/** The link that opens this page anywhere. */
export const linkWith = (token) => `${location.origin}${location.pathname}#token=${token}`;

/** Whether it has the shape of a JWT: anything else cannot even be sent. */
export const looksLikeToken = (token) => /^[\w-]+\.[\w-]+\.[\w-]+$/.test(token);

/**
 * What the token says of its holder. For display and for the holder's own reports only: the server alone verifies.
 * @returns {{sub?: string, role?: string, exp?: number, name?: string}}
 */
export function readClaims(token) {
  try {
    const payload = atob(token.split('.')[1].replaceAll('-', '+').replaceAll('_', '/'));
    return JSON.parse(new TextDecoder().decode(Uint8Array.from(payload, (char) => char.charCodeAt(0)))) ?? {};
  } catch {
    return {};
  }
}

/** The id in `/room/<id>` or `/speaker/<id>`. */
export const webinarInAddress = () => decoded(location.pathname.split('/')[2] ?? '');
