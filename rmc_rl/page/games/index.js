/**
 * The games of `rmc_envs` for a page on which an agent plays in the visitor's browser: plain modules, no build step.
 *
 * The same seed and the same actions make the same observations, rewards and ends as in Python, bit for bit;
 * `tests/rmc_rl/page/test_games.py` plays thousands of steps of both to see it.
 *
 *     import { makeGame } from "./games/index.js";
 *     const game = makeGame("rmc/MiniPacmanViewport-v0", { task: "hunt" });
 *     let observation = game.reset(7);
 *     const { reward, terminated, truncated } = game.step(game.keys.ArrowUp);
 *     game.draw(canvas.getContext("2d"), canvas.width, canvas.height);
 *
 * An agent can play a game of yours on a page, too, if its rules are here in JavaScript. Write a module like the one
 * below, add it to `KINDS`, and its id to `GAMES` of `rmc_rl/page/writing.py`. The id, the options and their defaults,
 * the shape and type of an observation and the order of the actions must be those of the Gymnasium environment that the
 * agent was trained in. If that draws its random numbers from another stream than `random.js`, the games are not those
 * of the same seed in Python, but as good.
 *
 * ```js
 * import { fill, NIGHT, YELLOW } from "./drawing.js";
 * import { Game } from "./game.js";
 * import { checkCount } from "./options.js";
 * import { below } from "./random.js";
 *
 * // Name the side of the coin that lies there; after each guess it is tossed.
 * export class Coin extends Game {
 *   static defaults = { length: 10 };
 *
 *   constructor(id, options) {
 *     const described = {
 *       actionNames: ["heads", "tails"],
 *       observationShape: [2],
 *       observationType: "float32",
 *       drawingSize: [40, 40],
 *       grid: 40,
 *     };
 *     super(id, options, described, { side: 0, frame: 0 });
 *     this.length = checkCount("length", options.length);
 *   }
 *
 *   begin(state) {
 *     state.side = below(state.stream, 2);
 *     state.frame = 0;
 *   }
 *
 *   play(state, action) {
 *     const reward = action === state.side ? 1 : 0;
 *     state.side = below(state.stream, 2);
 *     state.frame += 1;
 *     return { reward, terminated: state.frame >= this.length, truncated: false };
 *   }
 *
 *   observe(state) {
 *     return Float32Array.of(state.side === 0, state.side === 1);
 *   }
 *
 *   paint(state, context) {
 *     fill(context, 0, 0, 40, 40, state.side === 0 ? YELLOW : NIGHT);
 *   }
 * }
 * ```
 */

import { BoxWorld, BoxWorldViewport } from "./boxworld.js";
import { MiniPacman, MiniPacmanViewport } from "./minipacman.js";
import { checkOptions } from "./options.js";
import { RepeatFirst } from "./repeat_first.js";

const KINDS = new Map([
  ["rmc/BoxWorld-v0", BoxWorld],
  ["rmc/BoxWorldViewport-v0", BoxWorldViewport],
  ["rmc/MiniPacman-v0", MiniPacman],
  ["rmc/MiniPacmanViewport-v0", MiniPacmanViewport],
  ["rmc/RepeatFirst-v0", RepeatFirst],
]);

/** The ids of the games there are. */
export const gameIds = () => [...KINDS.keys()];

/**
 * A game that waits for its first `reset`.
 * @param {string} id as Gymnasium has it, with or without the module that registers it: "rmc_envs:rmc/BoxWorld-v0"
 * @param {Object<string, *>} [options] by the names they have in Python, those with defaults left out
 * @returns {import("./game.js").Game}
 * @throws {Error} an id that is not known, or an option that the Gymnasium environment refuses, too
 */
export function makeGame(id, options = {}) {
  const name = String(id).split(":").at(-1);
  const Kind = KINDS.get(name);
  if (Kind === undefined) throw new Error(`id must be one of ${gameIds().join(", ")}, got ${id}`);
  return new Kind(name, checkOptions(name, options, Kind.defaults));
}
