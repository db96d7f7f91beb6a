/** Who reads whom: attention weights as arcs between the slots of a memory and its input. */

import { COLOURS, faded, Pixels, percent, shade } from "./drawing.js";

/** Weights below this are not drawn. */
const LEAST_DRAWN = 0.02;

/**
 * The weights of one round of attention and one head, or the mean of all heads.
 * @param {{data: Float32Array, dims: number[]}} attention [1, blocks, heads, rows, rows + inputs]
 * @param {number} block which round, from 0; the last where there are fewer
 * @param {?number} head from 0; null for the mean
 * @returns {{rows: number, columns: number, data: Float32Array}} a row is a slot that reads; its columns are the slots
 *   and then the input, that it reads from; rows sum to 1
 */
export function weightsOf({ data, dims }, block, head) {
  const [, blocks, heads, rows, columns] = dims;
  const size = rows * columns;
  const start = Math.min(block, blocks - 1) * heads * size;
  if (head !== null) return { rows, columns, data: data.slice(start + head * size, start + (head + 1) * size) };
  const mean = new Float32Array(size);
  for (let each = 0; each < heads; each++) {
    for (let i = 0; i < size; i++) mean[i] += data[start + each * size + i] / heads;
  }
  return { rows, columns, data: mean };
}

/** How much each column is read by one row or, with null, by all rows on average. */
export function readShares({ rows, columns, data }, reader) {
  if (reader !== null) return Array.from(data.slice(reader * columns, (reader + 1) * columns));
  return Array.from({ length: columns }, (_, column) => {
    let sum = 0;
    for (let row = 0; row < rows; row++) sum += data[row * columns + column];
    return sum / rows;
  });
}

/** In words, for those who hear the page. */
export function readerInWords(weights, reader, inputName = "the input") {
  const { rows } = weights;
  const parts = readShares(weights, reader).map((share, column) => [
    share,
    column < rows ? `slot ${column + 1}` : inputName,
  ]);
  const strongest = parts.sort(([a], [b]) => b - a).slice(0, 3);
  return `slot ${reader + 1} reads ${strongest.map(([share, name]) => `${percent(share)} from ${name}`).join(", ")}`;
}

/**
 * Draw the arcs.
 *
 * Every row has two ports at the arcs' right edge: the upper one, where it reads, and the lower one, where it is read.
 * An arc is wide where it reads and thin where it is read; width and opacity grow with the weight. What is read from
 * the input is orange, from a slot blue.
 * @param {CanvasRenderingContext2D} context
 * @param {{rows: number, columns: number, data: Float32Array}} weights
 * @param {{left: number, right: number, middle: (row: number) => number, pitch: number, only: ?number}} place the room
 *   for the arcs, the rows' middles and the distance between them, and the one reader that is singled out
 */
export function drawArcs(context, { rows, columns, data }, { left, right, middle, pitch, only }) {
  const widest = Math.min(16, 0.42 * pitch);
  const shift = Math.min(0.2 * pitch, 9);
  const order = Array.from(data.keys()).sort((a, b) => data[a] - data[b]);
  for (const at of order) {
    const weight = data[at];
    if (weight < LEAST_DRAWN) continue;
    const [reader, source] = [Math.floor(at / columns), at % columns];
    const isQuiet = only !== null && only !== reader;
    const [from, to] = [middle(reader) - shift, middle(source) + shift];
    const bulge = (right - left) * (0.24 + (0.76 * Math.abs(reader - source)) / Math.max(columns - 1, 1));
    const [wide, thin] = [(1 + weight * widest) / 2, (0.6 + 0.2 * weight * widest) / 2];
    const far = right - bulge * 1.3; // a cubic's middle lies at three quarters of its handles
    const sign = from < to ? 1 : -1;
    context.beginPath();
    context.moveTo(right, from - sign * wide);
    context.bezierCurveTo(far - wide, from - sign * wide, far - thin, to + sign * thin, right, to + sign * thin);
    context.lineTo(right, to - sign * thin);
    context.bezierCurveTo(far + thin, to - sign * thin, far + wide, from + sign * wide, right, from + sign * wide);
    context.closePath();
    const opacity = isQuiet ? 0.05 : Math.min(1, 0.08 + 1.1 * weight);
    context.fillStyle = faded(source < rows ? "blue" : "orange", opacity);
    context.fill();
  }
  for (let row = 0; row < columns; row++) {
    const isInput = row >= rows;
    context.fillStyle = isInput ? COLOURS.orange : COLOURS.blue;
    context.beginPath();
    context.arc(right + 3, middle(row), 2.5, 0, 2 * Math.PI);
    context.fill();
  }
}

const matrixPixels = new Pixels();

/**
 * Draw the weights as a matrix, as Figure 3 of the paper has them: a row is a slot that reads, its columns are the
 * slots, in blue, and the input, in orange, that it reads from.
 * @param {CanvasRenderingContext2D} context
 * @param {{rows: number, columns: number, data: Float32Array}} weights
 * @param {number[]} box [x, y, width, height]
 */
export function drawMatrix(context, { rows, columns, data }, box) {
  matrixPixels.fill(columns, rows, (pixels, at, x, y) =>
    shade(pixels, at, x < rows ? "blue" : "orange", Math.sqrt(data[y * columns + x])),
  );
  matrixPixels.draw(context, [0, 0, columns, rows], box);
}

/** The weights on their way from one moment to the next, for the eye to follow. */
export class Easing {
  constructor() {
    this.shown = null;
  }

  /**
   * @param {{data: Float32Array}} weights where they are to be
   * @param {number} share of the way to go now; 1 is at once
   * @returns {{weights: Object, arrived: boolean}}
   */
  towards(weights, share) {
    const from = this.shown;
    if (from === null || share >= 1 || from.data.length !== weights.data.length) {
      this.shown = { ...weights, data: weights.data.slice() };
      return { weights: this.shown, arrived: true };
    }
    let farthest = 0;
    for (let i = 0; i < from.data.length; i++) {
      const rest = weights.data[i] - from.data[i];
      from.data[i] += share * rest;
      farthest = Math.max(farthest, Math.abs((1 - share) * rest));
    }
    return { weights: from, arrived: farthest < 0.004 };
  }
}
