// Of several tabs with one room the newest plays: two that sound at once help nobody.

/**
 * Calls back with whether this tab is the one that plays. The lock goes to the tab that asked last by `claim`,
 * and back to one that waits when that tab is closed. Where the browser has no locks, every tab plays.
 */
export class Tabs {
  #name;
  #onChange;
  #waiting = null;

  constructor(name, onChange) {
    this.#name = name;
    this.#onChange = onChange;
  }

  /** Takes over from whichever tab plays now. */
  claim() {
    this.#waiting?.abort();
    this.#hold({ steal: true });
  }

  async #hold(options) {
    try {
      await navigator.locks?.request(this.#name, options, () => {
        this.#onChange(true);
        return new Promise(() => {}); // until another tab steals it, or this one is closed
      });
    } catch (error) {
      if (error.name !== 'AbortError' || options.signal?.aborted) return; // no lock to be had: then this tab plays
      this.#onChange(false);
      this.#waiting = new AbortController();
      this.#hold({ signal: this.#waiting.signal });
    }
  }
}
