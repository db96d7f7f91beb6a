/** Mini Pacman (Weber et al. 2017), seen whole and through the 5x5 viewport of Santoro et al. 2018. */

import { Game } from "./game.js";
import { CELL, drawMaze, drawMazeThroughViewport, HEIGHT, WIDTH } from "./minipacman_drawing.js";
import { cellAt, COLUMNS, columnOf, EMPTY, FOOD, OUTSIDE, rowOf, ROWS, WALL } from "./minipacman_maze.js";
import { GONE, newState, play, startLevel, TASKS, VIEW } from "./minipacman_rules.js";
import { checkChoice, checkCount, checkFlag } from "./options.js";

/** An episode may begin with this level. */
const LARGEST_LEVEL = 1000;

/** RGB of empty, food, wall and outside; the last is an option of the viewport. */
const GROUND_COLOURS = [
  [0, 0, 0],
  [0, 0, 255],
  [255, 255, 255],
  [255, 255, 255],
];
const PACMAN_COLOUR = [0, 255, 0];
const PILL_COLOUR = [0, 255, 255];
/** By power, 255 * power / 20, half to even: a ghost is (255, this, 0), red while it hunts, yellow after a pill. */
const GHOST_GREEN = [
  0, 13, 26, 38, 51, 64, 76, 89, 102, 115, 128, 140, 153, 166, 178, 191, 204, 217, 230, 242, 255,
];
/** How many each kind of observation has; the six: walls, food, pacman, ghosts that hunt, ghosts that flee, pills. */
const CHANNELS = { rgb: 3, planes: 6 };
const OUTSIDE_GROUND = { wall: WALL, empty: EMPTY };

/** Mini Pacman seen whole: uint8 [15, 19, 3 or 6]. */
export class MiniPacman extends Game {
  static defaults = {
    task: "regular",
    max_steps: 3000,
    time_limit: null,
    level: 1,
    fast_pacman: false,
    observation: "rgb",
  };

  constructor(id, options, view = [ROWS, COLUMNS]) {
    const channels = CHANNELS[checkChoice("observation", options.observation, Object.keys(CHANNELS))];
    const described = {
      actionNames: ["stay", "right", "up", "left", "down"],
      observationShape: [...view, channels],
      observationType: "uint8",
      drawingSize: [WIDTH, HEIGHT],
      grid: CELL,
    };
    super(id, options, described, newState());
    const timeLimit = options.time_limit === null ? null : checkCount("time_limit", options.time_limit);
    const task = TASKS[checkChoice("task", options.task, Object.keys(TASKS))];
    this.task = {
      ...task,
      timeLimit: timeLimit ?? task.timeLimit,
      firstLevel: checkCount("level", options.level, 1, LARGEST_LEVEL),
      fastPacman: checkFlag("fast_pacman", options.fast_pacman),
    };
    this.maxSteps = checkCount("max_steps", options.max_steps);
    this.colours = GROUND_COLOURS;
  }

  begin(game) {
    game.frame = 0;
    game.score = 0;
    startLevel(game, this.task.firstLevel);
  }

  play(game, action) {
    return play(game, this.task, this.maxSteps, action);
  }

  observe(game) {
    return observe(game, this.colours, this.observationShape);
  }

  paint(game, context) {
    drawMaze(game, context);
  }
}

/** Mini Pacman seen through a window around pacman: uint8 [5, 5, 3 or 6]. */
export class MiniPacmanViewport extends MiniPacman {
  static defaults = { ...MiniPacman.defaults, outside: "wall" };

  constructor(id, options) {
    super(id, options, [VIEW, VIEW]);
    const ground = OUTSIDE_GROUND[checkChoice("outside", options.outside, Object.keys(OUTSIDE_GROUND))];
    this.colours = GROUND_COLOURS.with(OUTSIDE, GROUND_COLOURS[ground]);
  }

  paint(game, context) {
    drawMazeThroughViewport(game, context);
  }
}

/**
 * The whole maze or, if it has not its size, the window around pacman.
 * @returns {Uint8Array} [height, width, 3 or 6]
 */
function observe(game, colours, [height, width, channels]) {
  const isWhole = height === ROWS && width === COLUMNS;
  const top = isWhole ? 0 : rowOf(game.pacman) - Math.floor(height / 2);
  const left = isWhole ? 0 : columnOf(game.pacman) - Math.floor(width / 2);
  const observation = new Uint8Array(height * width * channels);
  /** Write `values` to the cell's pixel from a channel on, where it lies inside. */
  const paint = (cell, values, channel = 0) => {
    const [row, column] = [rowOf(cell) - top, columnOf(cell) - left];
    if (row < 0 || row >= height || column < 0 || column >= width) return;
    observation.set(values, (row * width + column) * channels + channel);
  };
  const draw = channels === CHANNELS.rgb ? RGB : PLANES;
  for (let row = top; row < top + height; row++) {
    for (let column = left; column < left + width; column++) draw.ground(game, colours, cellAt(row, column), paint);
  }
  draw.things(game, paint);
  return observation;
}

/** A colour a cell. Priority: pacman, ghost, pill, food, wall, empty. */
const RGB = {
  ground: (game, colours, cell, paint) => paint(cell, colours[game.ground[cell]]),
  things: (game, paint) => {
    for (const pill of game.pills) if (pill !== GONE) paint(pill, PILL_COLOUR);
    for (const ghost of game.ghosts) paint(ghost, [255, GHOST_GREEN[game.power], 0]);
    paint(game.pacman, PACMAN_COLOUR);
  },
};

/** Each kind of thing in a plane of its own: nothing hides anything. Power divides a ghost between two planes. */
const PLANES = {
  ground: (game, colours, cell, paint) => {
    const ground = game.ground[cell];
    if (ground === FOOD) paint(cell, [255], 1);
    else if (ground !== EMPTY) paint(cell, [colours[ground][0]], 0); // wall, or a ring outside that looks like it
  },
  things: (game, paint) => {
    const green = GHOST_GREEN[game.power];
    paint(game.pacman, [255], 2);
    for (const ghost of game.ghosts) paint(ghost, [255 - green, green], 3);
    for (const pill of game.pills) if (pill !== GONE) paint(pill, [255], 5);
  },
};
