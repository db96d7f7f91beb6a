/** What every game has: everything but its rules and its picture, which a kind of game adds by extending `Game`. */

import { fitted } from "./drawing.js";
import { checkCount, checkSeed } from "./options.js";
import { freshSeed, LARGEST_SEED, seedStream, STREAM_WORDS } from "./random.js";

/** Keys of the actions that have one by their meaning. */
const MOVES = {
  up: ["ArrowUp", "w"],
  left: ["ArrowLeft", "a"],
  down: ["ArrowDown", "s"],
  right: ["ArrowRight", "d"],
  stay: ["Enter"],
};
/** Keys of all other actions, in their order; G, H, N and P are left to the page. */
const OTHER_KEYS = [..."0123456789abcdefijklmoqrstuvwxyz"];

/**
 * A game in play.
 *
 * A kind of game has its options with their defaults as `static defaults`, and these methods; `index.js` shows one:
 *   begin(state)            start an episode, drawing from `state.stream`
 *   play(state, action)     one step; returns { reward, terminated, truncated }
 *   observe(state)          returns a new Uint8Array or Float32Array
 *   paint(state, context)   draws a picture of `drawingSize` units
 *
 * @property {string} id as Gymnasium has it
 * @property {string[]} actionNames one word an action
 * @property {number[]} observationShape
 * @property {"uint8" | "float32"} observationType
 * @property {Object<string, number>} keys keyboard key (`KeyboardEvent.key`) -> action
 * @property {?number} restAction the action that does nothing, or null
 * @property {[number, number]} drawingSize width and height of the picture; a canvas in this proportion is filled
 * @property {Object} state everything that decides how the game goes on and what is drawn. Its values are numbers,
 *   strings, arrays of numbers and typed arrays, so that a copy of each is a copy of all.
 */
export class Game {
  /**
   * @param {string} id
   * @param {Object<string, *>} options all of them, checked by the kind of game
   * @param {Object} described actionNames, observationShape, observationType and drawingSize, and as `grid` the units
   *   between lines of the picture that should fall on whole pixels
   * @param {Object} state the fields of a state that has not begun, but for those that all games have
   */
  constructor(id, options, { actionNames, observationShape, observationType, drawingSize, grid }, state) {
    Object.assign(this, { id, actionNames, observationShape, observationType, drawingSize, grid });
    this.keys = keysOf(actionNames);
    this.restAction = actionNames.includes("stay") ? actionNames.indexOf("stay") : null;
    this.state = { stream: new BigUint64Array(STREAM_WORDS), phase: "new", ...state };
    this.kind = JSON.stringify([id, options]);
  }

  /**
   * Begin an episode. With a seed the game's random stream begins anew; without one it goes on, as after
   * `env.reset()` and where a vector environment resets a game by itself. The first episode without a seed is random.
   * @param {number | bigint} [seed] in 0 .. 2**64 - 1; a BigInt where it is above 2**53 - 1
   * @returns {Uint8Array | Float32Array} the observation, row by row; the caller's own
   */
  reset(seed) {
    const { state } = this;
    if (seed !== undefined && seed !== null) seedStream(state.stream, checkSeed(seed, LARGEST_SEED));
    else if (state.phase === "new") seedStream(state.stream, freshSeed());
    this.begin(state);
    state.phase = "playing";
    return this.observe(state);
  }

  /**
   * Play one action.
   * @param {number} action
   * @returns {{observation: Uint8Array | Float32Array, reward: number, terminated: boolean, truncated: boolean}}
   */
  step(action) {
    requireStart(this.state);
    if (this.state.phase === "over") throw new Error("the episode has ended: call reset() before the next step()");
    checkCount("action", action, 0, this.actionNames.length - 1);
    const { reward, terminated, truncated } = this.play(this.state, action);
    if (terminated || truncated) this.state.phase = "over";
    return { observation: this.observe(this.state), reward, terminated, truncated };
  }

  /**
   * Draw the whole board, as large as it fits, in the middle of `width` x `height`; around it nothing is left.
   *
   * A context scaled by the device pixel ratio is drawn on as finely as it can show.
   * @param {CanvasRenderingContext2D} context
   * @param {number} width in the context's units
   * @param {number} height
   */
  draw(context, width, height) {
    requireStart(this.state);
    fitted(context, width, height, this.drawingSize, this.grid, () => this.paint(this.state, context));
  }

  /** Another game that goes on from here by itself. */
  clone() {
    return Object.assign(Object.create(Object.getPrototypeOf(this)), this, { state: copyOf(this.state) });
  }

  /**
   * A snapshot of everything, the random stream among it. It can be sent to a worker and stored, not written as JSON.
   * @returns {{kind: string, state: Object}}
   */
  save() {
    return { kind: this.kind, state: copyOf(this.state) };
  }

  /**
   * Go back to a snapshot, which may come from another game of the same id and options.
   * @param {{kind: string, state: Object}} saved
   */
  load(saved) {
    if (saved?.kind !== this.kind) {
      throw new Error(`saved must come from save() of a game ${this.kind}, got ${saved?.kind ?? saved}`);
    }
    this.state = copyOf(saved.state);
  }
}

function requireStart(state) {
  if (state.phase === "new") throw new Error("call reset() first");
}

function copyOf(state) {
  const entries = Object.entries(state);
  return Object.fromEntries(entries.map(([name, value]) => [name, typeof value === "object" ? value.slice() : value]));
}

/** Where there are more actions than keys, the last have none. */
function keysOf(actionNames) {
  const taken = actionNames.flatMap((name) => MOVES[name] ?? []);
  const free = OTHER_KEYS.filter((key) => !taken.includes(key));
  const entries = actionNames.flatMap((name, action) =>
    (MOVES[name] ?? free.splice(0, 1)).map((key) => [key, action]),
  );
  return Object.fromEntries(entries);
}
