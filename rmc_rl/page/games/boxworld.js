/** BoxWorld (Zambaldi et al. 2019), seen whole and through the 5x5 viewport of Santoro et al. 2018. */

import { CELL, drawRoom, drawRoomThroughViewport, STRIP } from "./boxworld_drawing.js";
import { fits, KEYS, LAYOUTS, mostObjects, NUM_COLOURS, roomFor, WALL } from "./boxworld_levels.js";
import { AGENT_COLOUR, COLOURS, newState, NO_KEY, play, startEpisode, VIEW } from "./boxworld_rules.js";
import { Game } from "./game.js";
import { checkCount, checkRange } from "./options.js";

const SMALLEST_GRID = 5;
const LARGEST_GRID = 64;

/** BoxWorld seen whole: uint8 [grid_size + 2, grid_size + 2, 3]. */
export class BoxWorld extends Game {
  static defaults = {
    grid_size: 12,
    solution_length: [1, 4],
    num_distractors: [0, 4],
    num_backward_distractors: [0, 0],
    distractor_length: 1,
    max_steps: 120,
  };

  constructor(id, options, view = null) {
    const side = checkCount("grid_size", options.grid_size, SMALLEST_GRID, LARGEST_GRID) + 2;
    const described = {
      actionNames: ["up", "down", "left", "right"],
      observationShape: view ?? [side, side, 3],
      observationType: "uint8",
      drawingSize: [side * CELL, side * CELL + STRIP],
      grid: CELL,
    };
    super(id, options, described, newState(side));
    this.ranges = {
      solution: checkRange("solution_length", options.solution_length, 1),
      distractors: checkRange("num_distractors", options.num_distractors, 0),
      backward: checkRange("num_backward_distractors", options.num_backward_distractors, 0),
      distractorLength: checkCount("distractor_length", options.distractor_length),
    };
    this.maxSteps = checkCount("max_steps", options.max_steps);
    checkColours(this.ranges);
    checkRoom(this.ranges, side);
  }

  begin(game) {
    startEpisode(game, this.ranges);
  }

  play(game, action) {
    return play(game, this.maxSteps, action);
  }

  observe(game) {
    return observeRoom(game);
  }

  paint(game, context) {
    drawRoom(game, this.maxSteps, context);
  }
}

/** BoxWorld seen through a window around the agent, with the colour of the key it holds: uint8 [5, 5, 6]. */
export class BoxWorldViewport extends BoxWorld {
  static defaults = { ...BoxWorld.defaults, solution_length: [1, 5], num_distractors: [0, 5] };

  constructor(id, options) {
    super(id, options, [VIEW, VIEW, 6]);
  }

  observe(game) {
    return observeWindow(game);
  }

  paint(game, context) {
    drawRoomThroughViewport(game, this.maxSteps, context);
  }
}

/** Refuse levels with more keys than there are colours; the last colour is never drawn for a distractor's key. */
function checkColours({ solution, distractors, backward, distractorLength }) {
  let spare = 0;
  if (distractors[1] + backward[1] > 0) spare = 2;
  if (distractors[1] > 0 && distractorLength > 1) spare = 3; // a key does not lie in a box of its own colour
  const most = NUM_COLOURS - spare;
  if (solution[1] > most) {
    throw new Error(
      `solution_length must be in 1 .. ${most} with these distractors, for there are ${NUM_COLOURS} colours, ` +
        `got [${solution.join(", ")}]`,
    );
  }
}

/** Refuse levels that a room cannot hold, or that objects put down at random hardly ever fit into it. */
function checkRoom(ranges, side) {
  const [objects, room] = [mostObjects(ranges), roomFor(side - 2)];
  const parts =
    `solution_length up to ${ranges.solution[1]}, num_distractors up to ${ranges.distractors[1]} of ` +
    `distractor_length ${ranges.distractorLength} and num_backward_distractors up to ${ranges.backward[1]} ` +
    `make ${objects} objects with the loose key`;
  if (objects > room) throw new Error(`${parts}, but grid_size ${side - 2} has room for ${room} at most`);
  if (!fits(side, ranges)) {
    throw new Error(
      `${parts}; grid_size ${side - 2} has room for ${room}, but only if packed closely: none of ${LAYOUTS} ` +
        "random levels fitted",
    );
  }
}

/**
 * The whole board, with the key held in the top left cell of the wall.
 * @returns {Uint8Array} [side, side, 3]
 */
function observeRoom(game) {
  const picture = new Uint8Array(game.board.length * 3);
  game.board.forEach((cell, place) => picture.set(COLOURS[cell], place * 3));
  if (game.held !== NO_KEY) picture.set(COLOURS[KEYS + game.held], 0);
  picture.set(AGENT_COLOUR, (game.agentRow * game.side + game.agentColumn) * 3);
  return picture;
}

/**
 * The window around the agent: three planes of the room's picture, wall beyond its edge; in three more the colour of
 * the key held, or 0.
 * @returns {Uint8Array} [5, 5, 6]
 */
function observeWindow(game) {
  const { board, side } = game;
  const [top, left] = [game.agentRow, game.agentColumn].map((middle) => middle - Math.floor(VIEW / 2));
  const held = game.held === NO_KEY ? WALL : KEYS + game.held;
  const picture = new Uint8Array(VIEW * VIEW * 6);
  for (let pixel = 0; pixel < VIEW * VIEW; pixel++) {
    const row = top + Math.floor(pixel / VIEW);
    const column = left + (pixel % VIEW);
    const isInside = row >= 0 && row < side && column >= 0 && column < side;
    const isHook = row === 0 && column === 0; // in the wall, where the key held hangs
    const cell = isHook ? held : isInside ? board[row * side + column] : WALL;
    picture.set(COLOURS[cell], pixel * 6);
    picture.set(COLOURS[held], pixel * 6 + 3);
  }
  picture.set(AGENT_COLOUR, Math.floor((VIEW * VIEW) / 2) * 6);
  return picture;
}
