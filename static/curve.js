// The picture of an audience over the time on air: a stepped curve, what was marked on it, and its axes.

import { make, setText } from './dom.js';

const SVG = 'http://www.w3.org/2000/svg';
const WIDTH = 1000;
const HEIGHT = 300;
const MOST_TICKS = 6;
const STEPS_S = [10, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400];

function shape(name, attributes) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

/** The smallest of 1, 2, 5, 10, 20, 50 … that is at least `number`; an even one, so that it can be halved. */
export function roundUp(number) {
  const power = 10 ** Math.floor(Math.log10(Math.max(1, number)));
  const found = [1, 2, 4, 6, 8, 10].map((times) => times * power).find((top) => top >= number);
  return Math.max(2, found);
}

/** The seconds at which the axis of a time on air is labelled. */
export function ticksOf(lengthS) {
  const step = STEPS_S.find((seconds) => lengthS / seconds <= MOST_TICKS) ?? Math.ceil(lengthS / MOST_TICKS / 3600) * 3600;
  return Array.from({ length: Math.floor(lengthS / step) + 1 }, (_, index) => index * step);
}

function label(holder, text, place, share) {
  const span = make('span', { text });
  span.style.setProperty(place, `${share * 100}%`);
  holder.append(span);
}

/**
 * Draws the curve into `plot`, which holds the svg and the labels of the y axis, and the labels of the x axis.
 * @param {{plot: Element, xAxis: Element}} where
 * @param {object} what
 * @param {{at_s: number, leads: number}[]} what.points each stands until the next
 * @param {number} what.lengthS the time on air
 * @param {{from_s: number, to_s: number}[]} what.bands
 * @param {number[]} what.pauses in seconds of the time on air
 * @param {boolean} what.isOver whether the end is marked
 * @param {(seconds: number, isLast: boolean) => string} inWords what the x axis says of a moment
 */
export function drawCurve({ plot, xAxis }, { points, lengthS, bands, pauses, isOver }, inWords) {
  const svg = plot.querySelector('svg');
  const top = roundUp(Math.max(...points.map(({ leads }) => leads), 1));
  const x = (seconds) => ((seconds / lengthS) * WIDTH).toFixed(1);
  const y = (leads) => (HEIGHT - (leads / top) * HEIGHT).toFixed(1);
  const last = points[points.length - 1];
  const endS = Math.min(lengthS, last.at_s + (points.length > 1 ? points[1].at_s - points[0].at_s : lengthS));
  const steps = points.map(({ at_s: at, leads }) => `H${x(at)}V${y(leads)}`).join('');
  const line = `M0 ${y(points[0].leads)}${steps}H${x(endS)}`;
  svg.replaceChildren(
    ...bands.map(({ from_s: from, to_s: to }) => shape('rect', { class: 'band', x: x(from), width: Math.max(2, x(to) - x(from)), y: 0, height: HEIGHT })),
    ...[0, 0.5, 1].map((share) => shape('line', { class: 'grid', x1: 0, x2: WIDTH, y1: share * HEIGHT, y2: share * HEIGHT })),
    shape('path', { class: 'area', d: `${line}V${HEIGHT}H0Z` }),
    shape('path', { class: 'line', d: line }),
    ...pauses.map((at) => shape('line', { class: 'pause', x1: x(at), x2: x(at), y1: 0, y2: HEIGHT })),
    ...(isOver ? [shape('line', { class: 'end', x1: WIDTH, x2: WIDTH, y1: 0, y2: HEIGHT })] : []),
  );
  const yAxis = plot.querySelector('.y');
  yAxis.replaceChildren();
  for (const share of [0, 0.5, 1]) label(yAxis, (share * top).toLocaleString(document.documentElement.lang), 'bottom', share);
  xAxis.replaceChildren();
  const ticks = ticksOf(lengthS);
  ticks.forEach((seconds, index) => label(xAxis, inWords(seconds, index === ticks.length - 1), 'left', seconds / lengthS));
}

/** Says the point under the pointer. `words` makes the text of a point; returns nothing. */
export function readOut(plot, lengthS, points, words) {
  const readout = plot.querySelector('.readout');
  plot.onpointermove = (event) => {
    const box = plot.querySelector('svg').getBoundingClientRect();
    const seconds = ((event.clientX - box.left) / box.width) * lengthS;
    const point = points.filter(({ at_s: at }) => at <= seconds).pop();
    readout.hidden = !point;
    if (point) setText(readout, words(point));
  };
  plot.onpointerleave = () => {
    readout.hidden = true;
  };
}
