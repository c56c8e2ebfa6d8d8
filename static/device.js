// "Link for another device": the personal link, shared, copied or at least shown, whichever this browser allows.

import { byId, setText } from './dom.js';
import { t } from './i18n.js';
import { linkWith } from './session.js';

const SAID_MS = 15_000;

/** Phones have a sheet for sharing; on a desk copying is what people expect. */
async function share(url) {
  if (!navigator.share || !matchMedia('(pointer: coarse)').matches) return false;
  try {
    await navigator.share({ url });
    return true;
  } catch (error) {
    return error.name === 'AbortError'; // the person has closed the sheet; anything else is a frame that may not
  }
}

async function copy(url) {
  try {
    await navigator.clipboard.writeText(url);
    return true;
  } catch {
    return false; // without HTTPS, and in frames of other sites
  }
}

function show(url) {
  const field = byId('device-address');
  field.value = url;
  field.hidden = false;
  field.select();
}

/** Puts the button to work. What it says goes after a while; a link that is shown stays. */
export function offerLink(token) {
  const url = linkWith(token);
  let timer = 0;
  byId('device').hidden = false;
  byId('device-link').addEventListener('click', async () => {
    if (await share(url)) return;
    const isCopied = await copy(url);
    if (!isCopied) show(url);
    setText(byId('device-said'), t(isCopied ? 'device.copied' : 'device.shown'));
    clearTimeout(timer);
    if (isCopied) timer = setTimeout(() => setText(byId('device-said'), ''), SAID_MS);
  });
}
