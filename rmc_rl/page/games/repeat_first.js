/** Repeat First: a symbol is shown once and asked for ever after; the rules of `rmc_envs/repeat_first.py`. */

import { CYAN, DULL, fill, NIGHT, PALE, YELLOW } from "./drawing.js";
import { Game } from "./game.js";
import { checkCount } from "./options.js";
import { below } from "./random.js";

const TILE = 48;
const HEIGHT = 80;

/** float32 [num_symbols], one-hot. */
export class RepeatFirst extends Game {
  static defaults = { num_symbols: 4, length: 8 };

  constructor(id, options) {
    const numSymbols = checkCount("num_symbols", options.num_symbols, 2, 64);
    const described = {
      actionNames: Array.from({ length: numSymbols }, (_, symbol) => `symbol ${symbol}`),
      observationShape: [numSymbols],
      observationType: "float32",
      drawingSize: [TILE * numSymbols, HEIGHT],
      grid: TILE,
    };
    super(id, options, described, {
      target: 0, // the symbol of the episode's first row
      shown: 0, // the symbol of the present row
      frame: 0, // steps of this episode
    });
    this.numSymbols = numSymbols;
    this.length = checkCount("length", options.length);
  }

  begin(game) {
    game.target = below(game.stream, this.numSymbols);
    game.shown = game.target;
    game.frame = 0;
  }

  play(game, action) {
    const reward = action === game.target ? 1 / this.length : 0;
    game.shown = below(game.stream, this.numSymbols);
    game.frame += 1;
    return { reward, terminated: game.frame >= this.length, truncated: false };
  }

  observe(game) {
    const observation = new Float32Array(this.numSymbols);
    observation[game.shown] = 1;
    return observation;
  }

  /** The symbols as a row of tiles: the shown one lit, a bar below the target, the time that has passed as a line. */
  paint(game, context) {
    const width = TILE * this.numSymbols;
    fill(context, 0, 0, width, HEIGHT, NIGHT);
    for (let symbol = 0; symbol < this.numSymbols; symbol++) {
      const left = TILE * symbol + 6;
      fill(context, left, 8, 36, 36, symbol === game.shown ? YELLOW : DULL);
      if (symbol === game.target) fill(context, left, 52, 36, 6, CYAN);
    }
    fill(context, 0, 70, (width * game.frame) / this.length, 4, PALE);
  }
}
