/** The rules of BoxWorld, as in `rmc_envs/boxworld/kernels.py`, and the colours of what the agent sees. */

import { DISTRACTOR_LOCKS, EMPTY, emptyRoom, GEM, KEYS, LOCKS, NUM_COLOURS, startLevel } from "./boxworld_levels.js";

/** Up, down, left, right. */
export const ACTION_ROW = [-1, 1, 0, 0];
export const ACTION_COLUMN = [0, 0, -1, 1];
/** What is held where no key is held; otherwise the key's colour. */
export const NO_KEY = -1;

const GEM_REWARD = 10;
const BOX_REWARD = 1;
const DISTRACTOR_REWARD = -1;

/** Side of the viewport. */
export const VIEW = 5;

/** RGB of keys and locks by colour, once round the colour wheel. */
export const PASTELS = [
  [179, 89, 89],
  [179, 116, 89],
  [179, 143, 89],
  [179, 169, 89],
  [161, 179, 89],
  [134, 179, 89],
  [107, 179, 89],
  [89, 179, 98],
  [89, 179, 125],
  [89, 179, 152],
  [89, 179, 179],
  [89, 152, 179],
  [89, 125, 179],
  [89, 98, 179],
  [107, 89, 179],
  [134, 89, 179],
  [161, 89, 179],
  [179, 89, 170],
  [179, 89, 143],
  [179, 89, 116],
];
/** RGB of whatever a cell holds: empty, wall, gem, keys, locks, locks off the solution. */
export const COLOURS = [[204, 204, 204], [0, 0, 0], [255, 255, 255], ...PASTELS, ...PASTELS, ...PASTELS];
export const AGENT_COLOUR = [128, 128, 128];

/** A game that has not begun: the agent stands in the corner of an empty room of `side` cells, the wall included. */
export const newState = (side) => ({
  side,
  board: emptyRoom(side), // what each cell holds, the agent left out
  agentRow: 1,
  agentColumn: 1,
  heading: 0, // last action; only the drawing looks at it
  held: NO_KEY, // colour of the key held
  solutionLength: 0, // boxes the level's solution opens; only the drawing looks at it
  frame: 0, // steps of this episode
  score: 0, // rewards of this episode; only the drawing looks at it
});

/** Begin an episode on a new level; the game's random stream goes on. */
export function startEpisode(game, ranges) {
  game.frame = 0;
  game.score = 0;
  game.heading = 0;
  game.held = NO_KEY;
  startLevel(game, ranges);
}

/** One step: its reward, whether it ended the level, whether the episode ran into `maxSteps`. */
export function play(game, maxSteps, action) {
  const { board, side } = game;
  game.frame += 1;
  game.heading = action;
  const row = game.agentRow + ACTION_ROW[action];
  const column = game.agentColumn + ACTION_COLUMN[action];
  const place = row * side + column;
  const cell = board[place];
  let [reward, moves, terminated] = [0, cell === EMPTY, false];
  if (cell >= LOCKS) {
    if (game.held === (cell - LOCKS) % NUM_COLOURS) {
      moves = true;
      game.held = NO_KEY;
      terminated = cell >= DISTRACTOR_LOCKS;
      reward = terminated ? DISTRACTOR_REWARD : BOX_REWARD;
    }
  } else if (cell >= GEM && board[place + 1] < LOCKS) {
    moves = true;
    if (cell === GEM) {
      reward = GEM_REWARD;
      terminated = true;
    } else {
      game.held = cell - KEYS;
    }
  }
  if (moves) {
    board[place] = EMPTY;
    game.agentRow = row;
    game.agentColumn = column;
  }
  game.score += reward;
  return { reward, terminated, truncated: !terminated && game.frame >= maxSteps };
}
