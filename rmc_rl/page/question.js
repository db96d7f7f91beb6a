/**
 * Nth Farthest: which vector is the n-th farthest from vector m? The counterpart of
 * `rmc_rl/supervised/tasks/nth_farthest.py`.
 */

import { uniform } from "./chance.js";

/** A question about vectors; labels, n and m are counted from 0. */
export class Question {
  /**
   * @param {number} count of vectors
   * @param {number} dimensions of each
   * @param {number} seed
   */
  constructor(count, dimensions, seed) {
    this.count = count;
    this.dimensions = dimensions;
    let drawn = 0;
    const next = () => uniform(seed, drawn++);
    /** By label, each uniform in (-1, 1). */
    this.vectors = Array.from({ length: count }, () => Float32Array.from({ length: dimensions }, () => 2 * next() - 1));
    /** Labels in the order they are shown. */
    this.shown = shuffled(count, next);
    this.n = Math.floor(next() * count);
    this.m = Math.floor(next() * count);
    this.axes = principalAxes(this.vectors);
  }

  /** Show the vectors in another order. */
  reorder(seed) {
    let drawn = 0;
    this.shown = shuffled(this.count, () => uniform(seed, drawn++));
  }

  /** Of a vector from vector m. */
  distance(label) {
    return Math.sqrt(this.vectors[label].reduce((sum, x, i) => sum + (x - this.vectors[this.m][i]) ** 2, 0));
  }

  /** Labels, the farthest from m first. */
  get order() {
    const distances = this.vectors.map((_, label) => this.distance(label));
    return distances.map((_, label) => label).sort((a, b) => distances[b] - distances[a]);
  }

  /** The right label. */
  get answer() {
    return this.order[this.n];
  }

  /** What is shown at a step: the vector, its label, n and m, the last three one-hot. */
  row(step) {
    const label = this.shown[step];
    const row = new Float32Array(this.dimensions + 3 * this.count);
    row.set(this.vectors[label]);
    [label, this.n, this.m].forEach((hot, part) => (row[this.dimensions + part * this.count + hot] = 1));
    return row;
  }

  /** Where a vector lies in the plane in which the vectors, as they were drawn, spread most. */
  place(label) {
    return this.axes.map((axis) => dot(axis, this.vectors[label]));
  }

  /** Move a vector along that plane, as far as its numbers stay within (-1, 1). */
  move(label, place) {
    const vector = this.vectors[label];
    const steps = this.place(label).map((at, axis) => place[axis] - at);
    this.vectors[label] = vector.map((x, i) => {
      const moved = x + steps[0] * this.axes[0][i] + steps[1] * this.axes[1][i];
      return Math.min(Math.max(moved, -1), 1);
    });
  }
}

function shuffled(count, next) {
  const items = Array.from({ length: count }, (_, item) => item);
  for (let last = count - 1; last > 0; last--) {
    const other = Math.floor(next() * (last + 1));
    [items[last], items[other]] = [items[other], items[last]];
  }
  return items;
}

const dot = (a, b) => a.reduce((sum, x, i) => sum + x * b[i], 0);

/** The two directions of unit length along which vectors spread most, by power iteration. */
function principalAxes(vectors) {
  const size = vectors[0].length;
  const mean = Array.from({ length: size }, (_, i) => vectors.reduce((sum, each) => sum + each[i], 0) / vectors.length);
  const centred = vectors.map((each) => Array.from(each, (x, i) => x - mean[i]));
  const axes = [];
  for (let index = 0; index < 2; index++) {
    let axis = Array.from({ length: size }, (_, i) => (i === index % size ? 1 : 0.1));
    for (let round = 0; round < 100; round++) {
      let next = new Array(size).fill(0);
      for (const each of centred) {
        const share = dot(each, axis);
        next = next.map((x, i) => x + share * each[i]);
      }
      for (const other of axes) {
        const share = dot(next, other);
        next = next.map((x, i) => x - share * other[i]);
      }
      const length = Math.sqrt(dot(next, next)) || 1;
      axis = next.map((x) => x / length);
    }
    axes.push(axis);
  }
  return axes;
}
