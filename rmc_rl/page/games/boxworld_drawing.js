/**
 * BoxWorld for people, as `rmc_envs/boxworld/drawing.py` draws it: the room in cells of 32 units, with a strip below
 * for the steps left, the score and the boxes opened.
 *
 * A key is drawn as a key and a lock as a padlock, in brighter versions of the colours that the agent sees; colours
 * next to each other on the colour wheel have different emblems, too. The key held hangs in the top left cell of the
 * wall.
 */

import { DISTRACTOR_LOCKS, GEM, KEYS, LOCKS, NUM_COLOURS } from "./boxworld_levels.js";
import { ACTION_COLUMN, ACTION_ROW, NO_KEY, PASTELS, VIEW } from "./boxworld_rules.js";
import {
  CYAN,
  dimAround,
  disc,
  DULL,
  fill,
  NIGHT,
  outline,
  polygon,
  sprite,
  WHITE,
  writeNumber,
  YELLOW,
} from "./drawing.js";

export const CELL = 32;
export const STRIP = 32;

const WALL = "#21295c";
const WALL_EDGE = "#5468cc";
const FLOOR = "#141727";
const OTHER_FLOOR = "#181c2e";
const HOLE = "#0c0e18";
const AGENT = "#b0b5c8";
const PUPIL = "#181c50";
const GEM_SIDES = "#b0e0f0";
const GEM_FOOT = "#78bee0";
const BOX_EDGE = 3;

/** The whole room. */
export function drawRoom(game, maxSteps, context) {
  const { board, side } = game;
  const lay = (row, column, paint, shift = 0) => sprite(context, column * CELL + shift, row * CELL, CELL, paint);
  drawEmptyRoom(side, context);
  board.forEach((cell, place) => {
    if (cell >= LOCKS) drawBox(context, Math.floor(place / side), (place % side) - 1, (cell - LOCKS) % NUM_COLOURS);
  });
  board.forEach((cell, place) => {
    if (cell < GEM || cell >= LOCKS) return;
    const shift = board[place + 1] >= LOCKS ? BOX_EDGE : 0; // between the edge of its box and the lock
    const paint = () => (cell === GEM ? drawGem(context) : drawKey(context, cell - KEYS));
    lay(Math.floor(place / side), place % side, paint, shift);
  });
  if (game.held !== NO_KEY) lay(0, 0, () => drawKey(context, game.held));
  lay(game.agentRow, game.agentColumn, () => drawAgent(context, game.heading));
  drawStrip(game, maxSteps, context);
}

/** `drawRoom` with the agent's 5x5 window outlined and everything else dimmed but the key held, which it sees too. */
export function drawRoomThroughViewport(game, maxSteps, context) {
  drawRoom(game, maxSteps, context);
  const reach = Math.floor(VIEW / 2);
  const window = [(game.agentColumn - reach) * CELL, (game.agentRow - reach) * CELL, VIEW * CELL, VIEW * CELL];
  const size = game.side * CELL;
  dimAround(context, [0, 0, size, size], window, [0, 0, CELL - 2, CELL - 2]);
}

/** A room with its wall and the place for a key in the wall. */
function drawEmptyRoom(side, context) {
  const [size, inner] = [side * CELL, (side - 2) * CELL];
  fill(context, 0, 0, size, size, WALL);
  fill(context, CELL - 2, CELL - 2, inner + 4, inner + 4, WALL_EDGE);
  fill(context, CELL, CELL, inner, inner, OTHER_FLOOR);
  for (let row = 1; row < side - 1; row++) {
    for (let column = 1 + (row % 2); column < side - 1; column += 2) {
      fill(context, column * CELL, row * CELL, CELL, CELL, FLOOR);
    }
  }
  fill(context, 1, 1, CELL - 4, CELL - 4, HOLE);
}

/** The two cells of a locked box from `row, column`: a frame in the lock's colour, and the lock on the right. */
function drawBox(context, row, column, colour) {
  const [top, left] = [row * CELL + 1, column * CELL + 1];
  fill(context, left, top, 2 * CELL - 2, CELL - 2, HOLE);
  outline(context, left, top, 2 * CELL - 2, CELL - 2, BOX_EDGE, bright(colour, 0.55));
  sprite(context, (column + 1) * CELL, row * CELL, CELL, () => drawLock(context, colour));
}

/** A key's colour for people: the hue the agent sees, saturated. */
function bright(colour, share = 1) {
  const channels = PASTELS.flat();
  const [least, most] = [Math.min(...channels), Math.max(...channels)];
  const lifted = PASTELS[colour].map((channel) => 60 + (195 * (channel - least)) / (most - least));
  return `rgb(${lifted.map((channel) => Math.round(channel * share)).join(", ")})`;
}

/** A disc, a square, a triangle or a diamond about `x, y`, by colour. */
function drawEmblem(context, colour, size, x, y) {
  if (colour % 4 === 0) {
    disc(context, size, x, y, HOLE);
    return;
  }
  const half = 0.86 * size;
  const corners = [
    [[-half, -half], [half, -half], [half, half], [-half, half]],
    [[0, -1.2 * size], [size, 0.8 * size], [-size, 0.8 * size]],
    [[0, -1.25 * size], [1.25 * size, 0], [0, 1.25 * size], [-1.25 * size, 0]],
  ][(colour % 4) - 1];
  polygon(context, corners.map(([across, along]) => [x + across, y + along]), HOLE);
}

function drawKey(context, colour) {
  disc(context, 0.42, -0.36, 0, bright(colour));
  fill(context, -0.1, -0.11, 0.8, 0.22, bright(colour));
  fill(context, 0.28, 0, 0.15, 0.42, bright(colour));
  fill(context, 0.55, 0, 0.15, 0.36, bright(colour));
  drawEmblem(context, colour, 0.2, -0.36, 0);
}

function drawLock(context, colour) {
  context.beginPath();
  context.moveTo(-0.33, 0);
  context.arc(0, -0.2, 0.33, Math.PI, 2 * Math.PI);
  context.lineTo(0.33, 0);
  context.strokeStyle = bright(colour, 0.75);
  context.lineWidth = 0.18;
  context.stroke();
  fill(context, -0.56, -0.06, 1.12, 0.72, bright(colour));
  drawEmblem(context, colour, 0.22, 0, 0.3);
}

function drawGem(context) {
  const [top, girdle, tip] = [-0.55, -0.15, 0.7];
  // What lies below is drawn on under what lies above, so that no ground shines through where they meet.
  polygon(context, [[-0.46, top], [0.46, top], [0.74, girdle], [0, tip], [-0.74, girdle]], GEM_FOOT);
  polygon(context, [[-0.46, top], [0.46, top], [0.74, girdle], [-0.74, girdle]], GEM_SIDES);
  polygon(context, [[-0.285, top], [0.285, top], [0.32, girdle], [0, tip], [-0.32, girdle]], WHITE);
}

function drawAgent(context, heading) {
  const [right, down] = [ACTION_COLUMN[heading], ACTION_ROW[heading]];
  disc(context, 0.72, 0, 0, AGENT);
  for (const side of [-0.28, 0.28]) {
    const [x, y] = [side + 0.1 * right, -0.08 + 0.12 * down];
    disc(context, 0.23, x, y, WHITE);
    disc(context, 0.12, x + 0.09 * right, y + 0.09 * down, PUPIL);
  }
}

/**
 * The steps left as a bar on the left, then the score; on the right a mark for each box of the solution.
 *
 * A mark is lit when the box is open. The last mark is the gem's, lit when it is taken.
 */
function drawStrip(game, maxSteps, context) {
  const size = game.side * CELL;
  const [top, width] = [size + 12, Math.floor(size / 3)];
  fill(context, 0, size, size, STRIP, NIGHT);
  fill(context, 12, top, width, 8, DULL);
  fill(context, 12, top, (Math.max(maxSteps - game.frame, 0) / maxSteps) * width, 8, CYAN);
  writeNumber(context, String(game.score), width + 24, size + STRIP / 2, 12, "left");
  const isLocked = (cell) => cell >= LOCKS && cell < DISTRACTOR_LOCKS;
  const length = game.solutionLength;
  const opened = length - game.board.reduce((count, cell) => count + isLocked(cell), 0);
  for (let box = 0; box < length; box++) {
    fill(context, size - 22 - 12 * (length - box), top, 8, 8, box < opened ? YELLOW : DULL);
  }
  sprite(context, size - 22, top - 2, 12, () => {
    const reach = 0.95;
    polygon(context, [[0, -reach], [reach, 0], [0, reach], [-reach, 0]], game.board.includes(GEM) ? DULL : WHITE);
  });
}
