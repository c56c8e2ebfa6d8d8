// A dialog, also in browsers from before Safari 15.4 and Firefox 98, which do not know the element.

const isKnown = (dialog) => typeof dialog.showModal === 'function';

export function openDialog(dialog) {
  if (isKnown(dialog)) {
    dialog.showModal();
    return;
  }
  dialog.setAttribute('role', 'dialog');
  dialog.setAttribute('open', '');
  dialog.querySelector('[autofocus]')?.focus();
}

export function closeDialog(dialog) {
  if (isKnown(dialog)) dialog.close();
  else dialog.removeAttribute('open');
}
