/**
 * The rules of Mini Pacman, as in `rmc_envs/minipacman/kernels.py`, function for function.
 *
 * A function here draws from the game's random stream exactly where that of the same name does, so the same seed and
 * the same actions make the same game. A reward is added up in the same order, too.
 */

import {
  columnOf,
  DIRECTION_COLUMN,
  DIRECTION_ROW,
  DIRECTION_STEP,
  EMPTY,
  EXITS,
  FOOD,
  FULL_GROUND,
  OPEN_CELLS,
  rowOf,
  WALL,
} from "./minipacman_maze.js";
import { below, uniform } from "./random.js";

const NUM_PILLS = 2;
/** Power after a pill; it falls by one at the start of each later step. */
export const POWER_STEPS = 20;
/** Ghosts a level can hold, far beyond what an episode can reach. */
const MAX_GHOSTS = 128;
/** How often a hunting ghost takes a random turn at a junction. */
const WHIM = 0.05;
/** Ghosts start outside rows [r - 5, r + 5) and columns [c - 5, c + 5) around pacman. */
const CLEARANCE = 5;
/** The cell of an eaten pill. */
export const GONE = -1;
/** Side of the viewport. */
export const VIEW = 5;
/** What a task pays and when its level is cleared, as in `rmc_envs/minipacman/tasks.py`. */
export const TASKS = {
  regular: { step: 0, food: 1, pill: 2, ghost: 5, death: 0, clearedBy: "food", timeLimit: null },
  avoid: { step: 0.1, food: -0.1, pill: -5, ghost: -10, death: -20, clearedBy: "food", timeLimit: 128 },
  hunt: { step: 0, food: 0, pill: 1, ghost: 10, death: -20, clearedBy: "ghosts", timeLimit: null },
  ambush: { step: 0, food: -0.1, pill: 0, ghost: 10, death: -20, clearedBy: "ghosts", timeLimit: null },
  rush: { step: 0, food: -0.1, pill: 10, ghost: 0, death: 0, clearedBy: "pills", timeLimit: null },
};

/** A game that has not begun. Cells are those of `minipacman_maze.js`. */
export const newState = () => ({
  ground: FULL_GROUND.slice(), // empty, food, wall or outside
  foodLeft: OPEN_CELLS.length,
  pacman: OPEN_CELLS[0],
  pacmanHeading: 0, // last direction tried; only the drawing looks at it
  pills: new Array(NUM_PILLS).fill(GONE),
  ghosts: [], // cells of the ghosts alive, in their order of moving
  ghostHeadings: [], // directions
  power: 0, // 0 .. POWER_STEPS
  level: 1,
  timer: 0, // steps of this level
  frame: 0, // steps of this episode
  score: 0, // return of this episode
});

const randomOpenCell = (game) => OPEN_CELLS[below(game.stream, OPEN_CELLS.length)];

/** A direction uniform over the exits of `cell`, leaving out `excluded`. */
function randomExit(game, cell, excluded) {
  const choices = EXITS[cell].filter((direction) => direction !== excluded);
  return choices[below(game.stream, choices.length)];
}

/** Lay out a level: food everywhere, two pills, pacman, and the level's ghosts at a distance from it. */
export function startLevel(game, level) {
  game.level = level;
  game.timer = 0;
  game.power = 0;
  game.foodLeft = OPEN_CELLS.length;
  game.ground.set(FULL_GROUND);
  for (let pill = 0; pill < NUM_PILLS; pill++) game.pills[pill] = randomOpenCell(game);
  game.pacman = randomOpenCell(game);
  game.pacmanHeading = 0;
  game.ghosts = [];
  game.ghostHeadings = [];
  const isClose = (offset) => -CLEARANCE <= offset && offset < CLEARANCE;
  const numGhosts = Math.min(1 + Math.floor((level - 1) / 2), MAX_GHOSTS);
  for (let ghost = 0; ghost < numGhosts; ghost++) {
    let cell;
    do cell = randomOpenCell(game);
    while (
      isClose(rowOf(cell) - rowOf(game.pacman)) &&
      isClose(columnOf(cell) - columnOf(game.pacman))
    );
    game.ghosts.push(cell);
    game.ghostHeadings.push(randomExit(game, cell, null));
  }
}

/** The direction in which a ghost on `cell` moves: straight on in corridors, a choice at junctions. */
function ghostTurn(game, cell, heading) {
  const exits = EXITS[cell];
  const onward = exits.filter((direction) => direction !== (heading ^ 2));
  if (exits.length === 2) return exits.includes(heading) ? heading : onward[0];
  if (cell === game.pacman) return heading; // it has just caught pacman, and there is no way to go by
  const hunting = game.power === 0;
  if (hunting && uniform(game.stream) < WHIM) return randomExit(game, cell, heading ^ 2);
  // The score is the cosine with the way to pacman; its length is common to all directions and left out.
  const rowOffset = rowOf(game.pacman) - rowOf(cell);
  const columnOffset = columnOf(game.pacman) - columnOf(cell);
  const score = (direction) =>
    (DIRECTION_ROW[direction] * rowOffset + DIRECTION_COLUMN[direction] * columnOffset) * (hunting ? 1 : -1);
  return onward.reduce((best, direction) => (score(direction) > score(best) ? direction : best));
}

/** Move pacman, eat what lies there, and return the reward for it. A cleared level gives way to the next at once. */
function movePacman(game, task, action) {
  if (action > 0) {
    game.pacmanHeading = action - 1;
    const target = game.pacman + DIRECTION_STEP[action - 1];
    if (FULL_GROUND[target] !== WALL) game.pacman = target;
  }
  let reward = 0;
  if (game.ground[game.pacman] === FOOD) {
    game.ground[game.pacman] = EMPTY;
    game.foodLeft -= 1;
    reward += task.food;
  }
  const pill = game.pills.indexOf(game.pacman); // of two on one cell, one is eaten a step
  if (pill >= 0) {
    game.pills[pill] = GONE;
    game.power = POWER_STEPS;
    reward += task.pill;
  }
  const byFood = task.clearedBy === "food" && game.foodLeft === 0;
  const byPills = task.clearedBy === "pills" && game.pills.every((cell) => cell === GONE);
  if (byFood || byPills) startLevel(game, game.level + 1);
  return reward;
}

/** `movePacman`, and once more in the same direction if there is a way and the level goes on. */
function movePacmanTwice(game, task, action) {
  const { level, pacman } = game;
  const reward = movePacman(game, task, action);
  const moved = game.level === level && game.pacman !== pacman;
  const canGoOn = moved && FULL_GROUND[game.pacman + DIRECTION_STEP[action - 1]] !== WALL;
  return canGoOn ? reward + movePacman(game, task, action) : reward;
}

/**
 * Let every ghost in turn meet pacman and move; return the reward and whether pacman died.
 *
 * A ghost meets pacman where it stands before its move and where it stands after it. At most one ghost is eaten in a
 * step: the ghosts after it do not move. A death stops nothing, so it can be paid for more than once.
 */
function moveGhosts(game, task) {
  let reward = 0;
  let dead = false;
  const powered = game.power > 0;
  const speed = (0.5 + 0.1 * (game.level - 1)) * (powered ? 0.5 : 1);
  const numGhosts = game.ghosts.length;
  for (let ghost = 0; ghost < numGhosts; ghost++) {
    let met = game.ghosts[ghost] === game.pacman;
    if (met && !powered) {
      reward += task.death;
      dead = true;
    }
    if (!(met && powered) && uniform(game.stream) < speed) {
      const cell = game.ghosts[ghost];
      const heading = ghostTurn(game, cell, game.ghostHeadings[ghost]);
      game.ghostHeadings[ghost] = heading;
      if (EXITS[cell].includes(heading)) game.ghosts[ghost] = cell + DIRECTION_STEP[heading];
      met = game.ghosts[ghost] === game.pacman;
      if (met && !powered) {
        reward += task.death;
        dead = true;
      }
    }
    if (met && powered) {
      reward += task.ghost;
      game.ghosts.splice(ghost, 1);
      game.ghostHeadings.splice(ghost, 1);
      if (task.clearedBy === "ghosts" && game.ghosts.length === 0) startLevel(game, game.level + 1);
      break;
    }
  }
  return { reward, dead };
}

/** One step: its reward, whether pacman died, whether the episode ran into `maxSteps` instead. */
export function play(game, task, maxSteps, action) {
  game.frame += 1;
  game.timer += 1;
  if (game.power > 0) game.power -= 1;
  const move = task.fastPacman && game.power > 0 ? movePacmanTwice : movePacman;
  let reward = task.step + move(game, task, action);
  const ghosts = moveGhosts(game, task);
  reward += ghosts.reward;
  game.score += reward;
  if (!ghosts.dead && task.timeLimit !== null && game.timer >= task.timeLimit) startLevel(game, game.level + 1);
  return { reward, terminated: ghosts.dead, truncated: !ghosts.dead && game.frame >= maxSteps };
}
