// What this tab remembers: the token of its page, taken out of the address, and small notes.

const inMemory = new Map(); // when the browser forbids storage

/** A note of this tab, or null. */
export function recall(key) {
  try {
    return sessionStorage.getItem(key) ?? inMemory.get(key) ?? null;
  } catch {
    return inMemory.get(key) ?? null;
  }
}

export function remember(key, value) {
  inMemory.set(key, value);
  try {
    sessionStorage.setItem(key, value);
  } catch {
    // this tab then remembers until it is reloaded
  }
}

const tokenKey = () => `token:${location.pathname.replace(/\/$/, '')}`;
const tokenInAddress = () => new URLSearchParams(location.hash.slice(1)).get('token');

/** The token of this page: from the fragment, which is cleared, or as kept for the tab; null when there is none. */
export function takeToken() {
  const given = tokenInAddress();
  if (given) {
    remember(tokenKey(), given);
    history.replaceState(null, '', location.pathname + location.search);
  }
  // A new link pasted into the same tab changes only the fragment, which loads nothing.
  addEventListener('hashchange', () => tokenInAddress() && location.reload());
  return given ?? recall(tokenKey());
}

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
export const webinarInAddress = () => decodeURIComponent(location.pathname.split('/')[2] ?? '');
