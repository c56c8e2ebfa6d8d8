// Runs before the page's modules, in JavaScript that every browser knows, and does what they cannot when they do not
// run: it loads the page again when a file did not come, and says so when the browser is too old (docs/browsers.md).
// Without this file the same words appear by themselves, a little later (app.css).
(function () {
  var root = document.documentElement;

  function hasStarted() {
    return root.hasAttribute('data-started');
  }

  function giveUp() {
    root.className += ' too-old';
  }

  function tryAgain() {
    setTimeout(function () {
      if (!hasStarted()) location.reload();
    }, 2000 + 3000 * Math.random());
  }

  addEventListener('error', function (event) {
    if (hasStarted()) return;
    if (event.target === window) giveUp(); // a module that this browser does not understand
    else if (event.target.nodeName === 'SCRIPT') tryAgain(); // one that did not come, or came as something else
  }, true);
  addEventListener('unhandledrejection', tryAgain); // the words of the page, which a module loads

  // Came with Safari 15, Chromium 88 and Firefox 89, and the player's place needs it.
  if (!window.CSS || !CSS.supports || !CSS.supports('aspect-ratio', '1')) giveUp();
}());
