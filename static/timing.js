// Waiting: spread at random, growing with every failure, and cut short when something happens.

const LONGEST_MS = 5000;

/** A whole number of milliseconds between the two, at random. */
export const between = (least, most) => Math.round(least + Math.random() * (most - least));

/** Delays with full jitter: at most 1 s at first, doubling, never more than 5 s. */
export class Backoff {
  #most = 1000;

  next() {
    const delay = between(100, this.#most);
    this.#most = Math.min(LONGEST_MS, this.#most * 2);
    return delay;
  }

  reset() {
    this.#most = 1000;
  }
}

/** One sleep at a time; `wake` ends it early. */
export class Sleeper {
  #end = () => {};

  sleep(ms) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#end = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  wake() {
    this.#end();
  }
}

/** Calls back when the page may have missed something: shown again, network gone or back, taken out of the history. */
export function onWake(callback) {
  document.addEventListener('visibilitychange', () => document.hidden || callback());
  addEventListener('online', callback);
  addEventListener('offline', callback);
  addEventListener('pageshow', (event) => event.persisted && callback());
}

/** Calls back when the page may never run again. */
export function onLeave(callback) {
  document.addEventListener('visibilitychange', () => document.hidden && callback());
  addEventListener('pagehide', callback);
}
