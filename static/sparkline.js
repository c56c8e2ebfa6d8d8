// The last ten minutes of a number, kept by the page, and the small picture of them.

const STEP_MS = 2000;
const STEPS = 300;
const BRIDGED = 3; // steps missed between two values that still count as one line
const HEIGHT = 40;
const SVG = 'http://www.w3.org/2000/svg';

/** A ring of ten minutes in steps of two seconds; what is older falls out. */
export class History {
  #values = new Array(STEPS).fill(null);
  #last = 0;

  /** Takes the value of now (Unix milliseconds). A longer silence before it stays a gap. */
  add(value, now) {
    const step = Math.floor(now / STEP_MS);
    const missed = Math.min(step - this.#last - 1, STEPS);
    const bridge = missed < BRIDGED ? this.#values[this.#last % STEPS] : null;
    for (let back = 1; back <= missed; back += 1) this.#values[(step - back) % STEPS] = bridge;
    const peak = step === this.#last ? this.#values[step % STEPS] : null; // of one step the highest is kept
    this.#values[step % STEPS] = Math.max(value, peak ?? value);
    this.#last = step;
  }

  /** From the oldest to the newest; null where nothing is known. */
  values() {
    return this.#values.map((_, index) => this.#values[(this.#last + 1 + index) % STEPS]);
  }
}

/** One line for each stretch without a gap, as points `x,y`. */
function stretches(values, most) {
  const found = [[]];
  values.forEach((value, x) => {
    if (value === null) found.push([]);
    else found[found.length - 1].push(`${x},${(HEIGHT - (value / most) * (HEIGHT - 2)).toFixed(1)}`);
  });
  return found.filter((points) => points.length > 0);
}

const bottom = (point) => `${point.split(',')[0]},${HEIGHT}`;

const areaUnder = (points) => `M${bottom(points[0])}L${points.join('L')}L${bottom(points[points.length - 1])}Z`;

/** An empty picture; `draw` fills it. */
export function makeSparkline() {
  const svg = document.createElementNS(SVG, 'svg');
  const attributes = { viewBox: `0 0 ${STEPS - 1} ${HEIGHT}`, preserveAspectRatio: 'none', role: 'img', class: 'sparkline' };
  for (const [name, value] of Object.entries(attributes)) svg.setAttribute(name, value);
  for (const name of ['area', 'line']) {
    const path = document.createElementNS(SVG, 'path');
    path.setAttribute('class', name);
    svg.append(path);
  }
  return svg;
}

/** Draws the history from nought to its highest value, which is returned with the lowest. */
export function draw(svg, history) {
  const values = history.values();
  const known = values.filter((value) => value !== null);
  const most = Math.max(...known);
  const lines = stretches(values, Math.max(1, most));
  const [area, line] = svg.children;
  line.setAttribute('d', lines.map((points) => `M${points.join('L')}`).join(''));
  area.setAttribute('d', lines.map(areaUnder).join(''));
  return { least: Math.min(...known), most };
}
