/**
 * An agent at play, and everything it thought: the counterpart of `rmc_rl/viewer/session.py` and `step.py`.
 *
 * A moment is that of a decision: what led here (the reward), what the agent sees, what it makes of it, and what is
 * done. The last one of an episode is the moment after its last action. All moments of the episode are kept, with the
 * state of the game and of the memory, so that one can look back and go on from anywhere.
 */

import { uniform } from "./chance.js";
import { batchOfOne } from "./model.js";

/** Inputs of an agent's step that are no memory. */
const ROWS = ["observation", "last_action", "last_reward", "reset"];

/**
 * @typedef {Object} Moment
 * @property {number} number t, the actions taken before
 * @property {TypedArray} observation
 * @property {Float64Array} probabilities of each action
 * @property {number} value the agent's estimate of the discounted return from here
 * @property {number} entropy of the policy, in nats
 * @property {Object<string, {data: Float32Array, dims: number[]}>} memory its parts after the observation was seen
 * @property {?{data: Float32Array, dims: number[]}} attention [1, blocks, heads, rows, rows + inputs]
 * @property {?{data: Float32Array, dims: number[]}} inputGate [1, rows, 1], or a value for each element
 * @property {?{data: Float32Array, dims: number[]}} forgetGate
 * @property {?number} action what is done; null where the episode is over
 * @property {boolean} byHand whether a person chose it
 * @property {number} reward of the action before; 0 at the start
 * @property {number} episodeReturn the sum of the rewards so far, undiscounted
 * @property {?string} ending "terminated" or "truncated" where the episode is over
 */

export class Session {
  /**
   * @param {Model} model one step of an agent
   * @param {Object} about what `agent.json` says of it
   * @param {Game} game
   * @param {{seed?: number, greedy?: boolean}} [options] seed of the first episode, episode i starts from seed + i;
   *   whether the likeliest action is taken, which may be changed at any time and counts from the next moment on
   */
  constructor(model, about, game, { seed = about.first_seed, greedy = false } = {}) {
    this.model = model;
    this.about = about;
    this.game = game;
    this.firstSeed = seed;
    this.greedy = greedy;
    this.episode = -1;
    /** @type {Moment[]} */
    this.moments = [];
    this.memoryNames = about.inputs.filter((name) => !ROWS.includes(name));
  }

  /** Of the episode. */
  get seed() {
    return this.firstSeed + this.episode;
  }

  /** @returns {?Moment} the newest */
  get last() {
    return this.moments.at(-1) ?? null;
  }

  /**
   * The next moment: of this episode or, where there is none yet or it is over, the first of the next one.
   * @param {number} [byHand] what is done now, instead of what the agent chose
   * @returns {Promise<Moment>}
   */
  async advance(byHand) {
    const { last } = this;
    if (last === null || last.action === null) return this.nextEpisode();
    if (byHand !== undefined) [last.action, last.byHand] = [byHand, true];
    const { observation, reward, terminated, truncated } = this.game.step(last.action);
    const ending = terminated ? "terminated" : truncated ? "truncated" : null;
    return this.#look(observation, reward, last.episodeReturn + reward, ending);
  }

  /** The first moment of the next episode, wherever this one stands; after the largest seed comes 0. */
  nextEpisode() {
    return Number.isSafeInteger(this.seed + 1) ? this.begin(this.firstSeed, this.episode + 1) : this.begin(0);
  }

  /**
   * The first moment of an episode.
   * @param {number} firstSeed that of episode 0
   * @param {number} [episode] so many after it
   */
  async begin(firstSeed, episode = 0) {
    [this.firstSeed, this.episode, this.moments] = [firstSeed, episode, []];
    return this.#look(this.game.reset(this.seed), 0, 0, null);
  }

  /** Forget what came after a moment, and go on from there. */
  goBackTo(number) {
    this.moments.length = number + 1;
    this.game.load(this.last.saved);
  }

  async #look(observation, reward, episodeReturn, ending) {
    const { about, last } = this;
    const number = this.moments.length;
    const state = last
      ? last.memory
      : Object.fromEntries(this.memoryNames.map((name) => [name, batchOfOne(about.initial_state[name])]));
    const memory = Object.entries(state).map(([name, { data, dims }]) => [name, { type: "float32", data, dims }]);
    const { dtype, shape } = about.observation;
    const out = await this.model.run({
      observation: { type: dtype, data: observation, dims: [1, ...shape] },
      last_action: { type: "int64", data: BigInt64Array.of(BigInt(last?.action ?? 0)), dims: [1] },
      last_reward: { type: "float32", data: Float32Array.of(reward), dims: [1] },
      reset: { type: "bool", data: Uint8Array.of(number === 0 ? 1 : 0), dims: [1] },
      ...Object.fromEntries(memory),
    });
    const probabilities = softmax(out.logits.data);
    const chosen = this.greedy ? likeliest(out.logits.data) : atQuantile(probabilities, uniform(this.seed, number));
    const moment = {
      number,
      observation,
      probabilities,
      value: out.value.data[0],
      entropy: -probabilities.reduce((sum, p) => sum + (p > 0 ? p * Math.log(p) : 0), 0),
      memory: Object.fromEntries(this.memoryNames.map((name) => [name, out[`next_${name}`]])),
      attention: out.attention ?? null,
      inputGate: out.input_gate ?? null,
      forgetGate: out.forget_gate ?? null,
      action: ending === null ? chosen : null,
      byHand: false,
      reward,
      episodeReturn,
      ending,
      saved: this.game.save(),
    };
    this.moments.push(moment);
    return moment;
  }
}

/** @returns {Float64Array} */
export function softmax(logits) {
  const largest = Math.max(...logits);
  const weights = Float64Array.from(logits, (logit) => Math.exp(logit - largest));
  const sum = weights.reduce((total, weight) => total + weight, 0);
  return weights.map((weight) => weight / sum);
}

/** The lowest number among equals. */
export function likeliest(logits) {
  return logits.indexOf(Math.max(...logits));
}

/** By the inverse of the distribution function; where rounding keeps the sum below the number, it is the last one. */
function atQuantile(probabilities, number) {
  let sum = 0;
  const reached = probabilities.findIndex((p) => (sum += p) > number);
  return reached < 0 ? probabilities.length - 1 : reached;
}
