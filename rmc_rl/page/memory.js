/** The memory as strips of colour: one a slot, one cell a number; a single long row is folded. */

import { COLOURS, heat, Pixels } from "./drawing.js";

/** A memory of one longer row is folded into rows of at most so many numbers. */
const LONGEST_ROW = 64;

/**
 * One part of a memory, of one item, as a matrix; more than two axes are joined into rows.
 * @returns {{rows: number, columns: number, data: Float32Array}}
 */
export function asMatrix({ data, dims }) {
  const columns = dims.at(-1);
  return { rows: data.length / columns, columns, data };
}

/** Scales that hold still while an episode goes on, one for each part of the memory. */
export class Limits {
  constructor() {
    this.largest = new Map();
  }

  /** Of a new episode. */
  clear() {
    this.largest.clear();
  }

  /** Take in a moment: the magnitude that 2 % of the numbers exceed, for single ones may be many times the rest. */
  add(memory) {
    for (const [name, { data }] of Object.entries(memory)) {
      const sizes = Float32Array.from(data, Math.abs).sort();
      const limit = sizes[Math.min(sizes.length - 1, Math.floor(0.98 * sizes.length))];
      this.largest.set(name, Math.max(limit, this.largest.get(name) ?? 0));
    }
  }

  /** So far. */
  of(name) {
    return this.largest.get(name) || 1;
  }
}

/** Draws matrices. */
export class Strips {
  constructor() {
    this.pixels = new Pixels();
  }

  /**
   * Draw every row of a matrix as a strip.
   * @param {CanvasRenderingContext2D} context
   * @param {{rows: number, columns: number, data: Float32Array}} matrix
   * @param {number} limit magnitude of the full colours
   * @param {(row: number) => number[]} place where each row lies: [x, y, width, height]
   */
  draw(context, { rows, columns, data }, limit, place) {
    this.pixels.fill(columns, rows, (pixels, at, x, y) => heat(pixels, at, data[y * columns + x], limit));
    for (let row = 0; row < rows; row++) this.pixels.draw(context, [0, row, columns, 1], place(row));
  }

  /**
   * Draw a matrix into a box, rows one below the other.
   * @param {number[]} box [x, y, width, height]
   */
  drawInto(context, matrix, limit, [x, y, width, height]) {
    const folds = matrix.rows === 1 && matrix.columns > LONGEST_ROW;
    const shown = folds ? folded(matrix) : matrix;
    const pitch = Math.min(height / shown.rows, 40);
    const gap = folds || pitch < 4 ? 0 : 2;
    const top = y + (height - pitch * shown.rows) / 2;
    this.draw(context, shown, limit, (row) => [x, top + row * pitch, width, pitch - gap]);
    const beyond = shown.rows * shown.columns - matrix.rows * matrix.columns;
    if (beyond > 0) {
      // Cells of the last row that stand for nothing.
      const cell = width / shown.columns;
      context.fillStyle = COLOURS.card;
      context.fillRect(x + width - beyond * cell, top + (shown.rows - 1) * pitch, beyond * cell, pitch);
    }
  }
}

function folded({ columns, data }) {
  const rows = Math.ceil(columns / LONGEST_ROW);
  const padded = new Float32Array(rows * LONGEST_ROW);
  padded.set(data);
  return { rows, columns: LONGEST_ROW, data: padded };
}
