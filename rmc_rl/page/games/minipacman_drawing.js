/**
 * Mini Pacman for people, as `rmc_envs/minipacman/drawing.py` draws it: the maze in cells of 24 units, with a strip
 * below for power, score and level.
 */

import {
  CYAN,
  dimAround,
  disc,
  DULL,
  fill,
  NIGHT,
  polygon,
  sprite,
  WHITE,
  writeNumber,
  YELLOW,
} from "./drawing.js";
import {
  COLUMNS,
  columnOf,
  DIRECTION_COLUMN,
  DIRECTION_ROW,
  FOOD,
  OPEN_CELLS,
  rowOf,
  ROWS,
} from "./minipacman_maze.js";
import { GONE, POWER_STEPS, VIEW } from "./minipacman_rules.js";

export const CELL = 24;
const MARGIN = 12;
const STRIP = 24;
export const HEIGHT = ROWS * CELL + STRIP;
export const WIDTH = COLUMNS * CELL + 2 * MARGIN;

const WALL = "#21295c";
const WALL_EDGE = "#5468cc";
const FOOD_COLOUR = "#f0be96";
const PUPIL = "#181c50";
const GHOST = { hunting: "#f03c34", frightened: "#3454e8", recovering: "#e2e6fa" };
/** Power at which frightened ghosts begin to flash. */
const FADING = 6;
/** Half of what pacman's mouth takes of its rim, as an angle, and how far behind the middle the mouth begins. */
const MOUTH = 0.733;
const THROAT = -0.08;

/** The whole maze. */
export function drawMaze(game, context) {
  drawWalls(context);
  const lay = (cell, paint) => sprite(context, ...corner(cell), CELL, paint);
  for (const cell of OPEN_CELLS) {
    if (game.ground[cell] === FOOD) lay(cell, () => disc(context, 0.17, 0, 0, FOOD_COLOUR));
  }
  for (const cell of game.pills) if (cell !== GONE) lay(cell, () => drawPill(context));
  const looks = mood(game.power);
  game.ghosts.forEach((cell, ghost) => lay(cell, () => drawGhost(context, game.ghostHeadings[ghost], looks)));
  lay(game.pacman, () => drawPacman(context, game.pacmanHeading));
  drawStrip(game, context);
}

/** `drawMaze` with the agent's 5x5 window outlined and everything outside of it dimmed. */
export function drawMazeThroughViewport(game, context) {
  drawMaze(game, context);
  const [left, top] = corner(game.pacman);
  const reach = Math.floor(VIEW / 2) * CELL;
  dimAround(context, [0, 0, WIDTH, ROWS * CELL], [left - reach, top - reach, VIEW * CELL, VIEW * CELL]);
}

function mood(power) {
  if (power === 0) return "hunting";
  return power <= FADING && power % 2 === 0 ? "recovering" : "frightened";
}

/** The left top corner of a cell. */
const corner = (cell) => [columnOf(cell) * CELL + MARGIN, rowOf(cell) * CELL];

/** Walls everywhere; then the open cells cut out, first a little too large: what is left of that is the walls' edge. */
function drawWalls(context) {
  fill(context, 0, 0, WIDTH, ROWS * CELL, WALL);
  for (const [margin, colour] of [
    [2, WALL_EDGE],
    [0, NIGHT],
  ]) {
    context.beginPath();
    for (const cell of OPEN_CELLS) {
      const [left, top] = corner(cell);
      context.rect(left - margin, top - margin, CELL + 2 * margin, CELL + 2 * margin);
    }
    context.fillStyle = colour;
    context.fill();
  }
}

function drawPill(context) {
  disc(context, 0.52, 0, 0, CYAN);
  disc(context, 0.16, -0.16, -0.18, WHITE);
}

function drawPacman(context, heading) {
  context.rotate((-heading * Math.PI) / 2);
  context.beginPath();
  context.moveTo(THROAT, 0);
  context.arc(0, 0, 0.86, MOUTH, 2 * Math.PI - MOUTH);
  context.closePath();
  context.fillStyle = YELLOW;
  context.fill();
}

function drawGhost(context, heading, looks) {
  const [right, down] = [DIRECTION_COLUMN[heading], DIRECTION_ROW[heading]];
  context.beginPath();
  context.arc(0, -0.06, 0.78, Math.PI, 2 * Math.PI);
  for (const x of across(0.78)) context.lineTo(x, 0.72 + 0.14 * Math.cos((x / 0.78) * 3 * Math.PI));
  context.closePath();
  context.fillStyle = GHOST[looks];
  context.fill();
  if (looks === "hunting") {
    for (const side of [-0.32, 0.32]) {
      const [x, y] = [side + 0.08 * right, -0.14 + 0.06 * down];
      disc(context, 0.26, x, y, WHITE);
      disc(context, 0.13, x + 0.1 * right, y + 0.1 * down, PUPIL);
    }
  } else {
    const face = looks === "frightened" ? WHITE : GHOST.hunting;
    for (const side of [-0.28, 0.28]) disc(context, 0.14, side, -0.18, face);
    const mouth = (x, shift) => [x, 0.34 + 0.08 * Math.cos(14 * x) + shift];
    const lower = across(0.52).map((x) => mouth(x, 0.07));
    const upper = across(-0.52).map((x) => mouth(x, -0.07));
    polygon(context, [...lower, ...upper], face);
  }
}

/** Places from `x` to `-x`, close enough for a smooth curve. */
const across = (x) => Array.from({ length: 49 }, (_, place) => x * (1 - place / 24));

/** Power as a bar on the left, the score in the middle, the level as a row of marks on the right. */
function drawStrip(game, context) {
  const top = ROWS * CELL;
  fill(context, 0, top, WIDTH, STRIP, NIGHT);
  fill(context, MARGIN, top + 8, POWER_STEPS * 8, 8, DULL);
  fill(context, MARGIN, top + 8, game.power * 8, 8, CYAN);
  const score = Math.abs(game.score - Math.round(game.score)) < 1e-6 ? game.score.toFixed(0) : game.score.toFixed(1);
  writeNumber(context, score, WIDTH / 2, top + STRIP / 2, 12, "center");
  for (let mark = 0; mark < Math.min(game.level, 12); mark++) {
    fill(context, WIDTH - MARGIN - 8 - 12 * mark, top + 8, 8, 8, YELLOW);
  }
}
