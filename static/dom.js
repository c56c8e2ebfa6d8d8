// The few things that every page does to its document. Data enters it as text or as a checked address, never as markup.

export const byId = (id) => document.getElementById(id);

/** Writes only what changed, so that nothing is read aloud twice. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Shows the one `[data-view]` that bears this name. */
export function showView(name) {
  for (const view of document.querySelectorAll('[data-view]')) view.hidden = view.dataset.view !== name;
}

/** The absolute http(s) address, or null: data never becomes another kind of link. */
export function safeUrl(address) {
  if (!address) return null;
  try {
    const url = new URL(address, location.href);
    return ['http:', 'https:'].includes(url.protocol) ? url.href : null;
  } catch {
    return null;
  }
}

/** An element with text and attributes. */
export function make(tag, { text = '', ...attributes } = {}) {
  const element = document.createElement(tag);
  element.textContent = text;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}
