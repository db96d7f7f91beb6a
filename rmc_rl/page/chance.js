/** Numbers that decide which action is sampled: a function of the episode's seed and the step. */

/** The last rounds of MurmurHash3, which make all bits of a 32-bit word depend on all others. */
function scramble(word) {
  word = Math.imul(word ^ (word >>> 16), 0x85ebca6b);
  word = Math.imul(word ^ (word >>> 13), 0xc2b2ae35);
  return (word ^ (word >>> 16)) >>> 0;
}

/**
 * The number of step `step` of the episode from `seed`, evenly spread over [0, 1).
 *
 * Nothing is carried on from step to step, so an episode can be taken up anywhere and goes on as it would have.
 * @param {number} seed a whole number below 2**53
 * @param {number} step
 */
export function uniform(seed, step) {
  let word = 0;
  for (const part of [seed >>> 0, Math.floor(seed / 2 ** 32), step]) word = scramble((word + 0x9e3779b9) ^ part);
  const [high, low] = [scramble(word ^ 0x68bc21eb), scramble(word ^ 0x02e5be93)];
  return (high * 2 ** 21 + (low >>> 11)) / 2 ** 53;
}
