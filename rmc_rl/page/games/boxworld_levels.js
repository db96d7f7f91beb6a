/**
 * The levels of BoxWorld, as in `rmc_envs/boxworld/levels.py`: what a cell can hold, and the generator that draws a
 * level and lays it out on a board.
 *
 * A board is a Uint8Array [side * side], row by row, the wall included. A level is made of abstract keys 1 .. 20: the
 * loose key is 1; the solution's box i is locked by i and holds key i + 1, the last one the gem. Every function draws
 * from the game's random stream where the Python function of the same name does.
 */

import { below, seedStream, STREAM_WORDS } from "./random.js";

export const NUM_COLOURS = 20;

export const [EMPTY, WALL, GEM] = [0, 1, 2];
/** The first of 20 cells that hold a key, one for each colour. */
export const KEYS = 3;
/** The first of 20 locks of boxes on the solution. */
export const LOCKS = KEYS + NUM_COLOURS;
/** The first of 20 locks of boxes off the solution. They look like the others. */
export const DISTRACTOR_LOCKS = LOCKS + NUM_COLOURS;

/** Tries to place an object that may fail before a level is drawn anew. */
const FAILED_TRIES = 200;
/** Levels drawn before settings are taken for such that do not fit. */
export const LAYOUTS = 200;

/**
 * What the levels of a game are drawn from, all bounds included.
 * @typedef {Object} Ranges
 * @property {[number, number]} solution boxes to open, the gem's among them
 * @property {[number, number]} distractors branches off the solution
 * @property {[number, number]} backward boxes that hold a key of the solution behind a lock without a key
 * @property {number} distractorLength boxes of a branch
 */

/** Boxes of the largest level, and its loose key. */
export const mostObjects = (ranges) =>
  1 + ranges.solution[1] + ranges.distractors[1] * ranges.distractorLength + ranges.backward[1];

/** The most objects that a room can hold without any two touching. */
export function roomFor(gridSize) {
  const [columns, rows] = [gridSize - 4, gridSize - 2];
  return Math.ceil(columns / 3) * Math.ceil(rows / 2) + (columns % 3 === 0 ? 1 : 0);
}

/** A random integer, both bounds included. */
const within = (game, least, most) => least + below(game.stream, most - least + 1);

/** Whether a box whose left cell is `row, column` would touch nothing. */
function hasRoom(board, side, row, column) {
  for (let r = row - 1; r < row + 2; r++) {
    for (let c = column - 1; c < column + 3; c++) if (board[r * side + c] !== EMPTY) return false;
  }
  return true;
}

/**
 * Put down a box, or a loose key where `lock` is EMPTY, and return the tries left: below 0, there was no place.
 *
 * Nothing is put down if there are none left before.
 */
function place(game, content, lock, tries) {
  const { board, side } = game;
  for (; tries >= 0; tries--) {
    const row = within(game, 2, side - 3);
    const column = within(game, 1, side - 5);
    if (hasRoom(board, side, row, column)) {
      board[row * side + column] = content;
      board[row * side + column + 1] = lock;
      return tries;
    }
  }
  return tries;
}

/** Put the agent on an empty cell and return the tries left, as `place` does. */
function placeAgent(game, tries) {
  const { board, side } = game;
  for (; tries >= 0; tries--) {
    const row = within(game, 2, side - 3);
    const column = within(game, 1, side - 3);
    if (board[row * side + column] === EMPTY) {
      game.agentRow = row;
      game.agentColumn = column;
      return tries;
    }
  }
  return tries;
}

/** A room of `side` x `side` cells, the wall included, with nothing in it. */
export function emptyRoom(side) {
  const board = new Uint8Array(side * side).fill(WALL);
  for (let row = 1; row < side - 1; row++) board.fill(EMPTY, row * side + 1, (row + 1) * side - 1);
  return board;
}

/** Draw one level and try to lay it out; whether that succeeded. */
function layOut(game, ranges) {
  game.board = emptyRoom(game.side);
  const colour = Array.from({ length: NUM_COLOURS + 1 }, (_, key) => key - 1); // of each abstract key, from 1
  for (let key = NUM_COLOURS; key > 1; key--) {
    const other = within(game, 1, key);
    [colour[key], colour[other]] = [colour[other], colour[key]];
  }

  const length = within(game, ...ranges.solution);
  game.solutionLength = length;
  let tries = place(game, KEYS + colour[1], EMPTY, FAILED_TRIES);
  for (let lock = 1; lock <= length; lock++) {
    tries = place(game, lock < length ? KEYS + colour[lock + 1] : GEM, LOCKS + colour[lock], tries);
  }

  // The keys that the solution does not use are length + 1 .. last: the last of the 20 is never drawn.
  const last = NUM_COLOURS - 1;
  const numDistractors = within(game, ...ranges.distractors);
  for (let distractor = 0; distractor < numDistractors; distractor++) {
    let lock = within(game, 1, length);
    for (let box = 0; box < ranges.distractorLength; box++) {
      let key = within(game, length + 1, lock <= length ? last : last - 1);
      if (lock > length && key >= lock) key += 1; // any but the box's own
      tries = place(game, KEYS + colour[key], DISTRACTOR_LOCKS + colour[lock], tries);
      lock = key;
    }
  }
  const numBackward = within(game, ...ranges.backward);
  for (let box = 0; box < numBackward; box++) {
    const key = within(game, 1, length);
    const lock = within(game, length + 1, last);
    tries = place(game, KEYS + colour[key], DISTRACTOR_LOCKS + colour[lock], tries);
  }
  return placeAgent(game, tries) >= 0;
}

/** Whether one of 200 of the largest levels of `ranges` can be laid out, from seed 0. */
export function fits(side, ranges) {
  const { solution, distractors, backward, distractorLength } = ranges;
  const only = (most) => [most, most];
  const largest = {
    solution: only(solution[1]),
    distractors: only(distractors[1]),
    backward: only(backward[1]),
    distractorLength,
  };
  const trial = { stream: new BigUint64Array(STREAM_WORDS), side };
  seedStream(trial.stream, 0n);
  for (let failed = 0; failed < LAYOUTS; failed++) if (layOut(trial, largest)) return true;
  return false;
}

/** Lay out a level drawn from `ranges`, which must fit the board. */
export function startLevel(game, ranges) {
  while (!layOut(game, ranges));
}
