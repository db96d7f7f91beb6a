/**
 * The maze of Mini Pacman and the tables it is walked by, as in `rmc_envs/minipacman/maze.py`.
 *
 * A cell is one integer: its place in the maze written row by row with one ring of outside cells around it, 17 rows of
 * 21 columns. The ring makes every 5x5 window around an open cell lie inside. Directions are 0 right, 1 up, 2 left,
 * 3 down; the reverse of `d` is `d ^ 2`.
 */

export const PICTURE = [
  "###################",
  "#...#.........#...#",
  "#.#.#.#######.#.#.#",
  "#.................#",
  "#.#.#.#######.#.#.#",
  "#.#.............#.#",
  "#.####.#####.####.#",
  "#......#####......#",
  "#.####.#####.####.#",
  "#.#.............#.#",
  "#.#.#.#######.#.#.#",
  "#.................#",
  "#.#.#.#######.#.#.#",
  "#...#.........#...#",
  "###################",
];

export const ROWS = PICTURE.length;
export const COLUMNS = PICTURE[0].length;
const STRIDE = COLUMNS + 2;

/** What a cell of the ground holds. Pills, ghosts and pacman lie on top of it. */
export const [EMPTY, FOOD, WALL, OUTSIDE] = [0, 1, 2, 3];

/** The cell at `row, column` of the 15x19 maze, both counted from 0 at the top left wall. */
export const cellAt = (row, column) => (row + 1) * STRIDE + column + 1;
export const rowOf = (cell) => Math.floor(cell / STRIDE) - 1;
export const columnOf = (cell) => (cell % STRIDE) - 1;

/** Uint8Array [357]: the ground as a level starts, food on every open cell. */
export const FULL_GROUND = new Uint8Array((ROWS + 2) * STRIDE).fill(OUTSIDE);
PICTURE.forEach((line, row) =>
  [...line].forEach((letter, column) => {
    FULL_GROUND[cellAt(row, column)] = letter === "#" ? WALL : FOOD;
  }),
);

/** The 138 cells one can stand on. */
export const OPEN_CELLS = [...FULL_GROUND.keys()].filter((cell) => FULL_GROUND[cell] === FOOD);

export const DIRECTION_ROW = [0, -1, 0, 1];
export const DIRECTION_COLUMN = [1, 0, -1, 0];
export const DIRECTION_STEP = [1, -STRIDE, -1, STRIDE];

const DIRECTIONS = [0, 1, 2, 3];
/** Of each open cell the directions whose next cell is open, in their order: 2 in a corridor, no cell is a dead end. */
export const EXITS = Array.from(FULL_GROUND, (ground, cell) =>
  ground === FOOD ? DIRECTIONS.filter((direction) => FULL_GROUND[cell + DIRECTION_STEP[direction]] === FOOD) : [],
);
