/**
 * One small random stream per game, the same as that of `rmc_envs/random_stream.py`, bit for bit.
 *
 * A stream is a BigUint64Array(4) in the game's state: a xoshiro256++ generator (Blackman and Vigna), filled from the
 * game's 64-bit seed by splitmix64. BigInt is slow beside plain numbers, but a game draws few numbers a step.
 */

/** 64-bit words of generator state per game. */
export const STREAM_WORDS = 4;
export const LARGEST_SEED = 2n ** 64n - 1n;

const wrapped = (word) => BigInt.asUintN(64, word);
const rotatedLeft = (word, shift) => wrapped(word << shift) | (word >> (64n - shift));

/**
 * Fill `stream` from a 64-bit seed by four steps of splitmix64.
 * @param {BigUint64Array} stream
 * @param {bigint} seed
 */
export function seedStream(stream, seed) {
  let counter = seed;
  for (let word = 0; word < STREAM_WORDS; word++) {
    counter = wrapped(counter + 0x9e3779b97f4a7c15n);
    let mixed = wrapped((counter ^ (counter >> 30n)) * 0xbf58476d1ce4e5b9n);
    mixed = wrapped((mixed ^ (mixed >> 27n)) * 0x94d049bb133111ebn);
    stream[word] = mixed ^ (mixed >> 31n);
  }
}

/**
 * The next 64 random bits (xoshiro256++).
 * @param {BigUint64Array} stream
 * @returns {bigint}
 */
function nextWord(stream) {
  let [a, b, c, d] = stream;
  const result = wrapped(rotatedLeft(wrapped(a + d), 23n) + a);
  const shifted = wrapped(b << 17n);
  c ^= a;
  d ^= b;
  stream[1] = b ^ c;
  stream[0] = a ^ d;
  stream[2] = c ^ shifted;
  stream[3] = rotatedLeft(d, 45n);
  return result;
}

/**
 * A number uniform over [0, 1), from the 53 high bits.
 * @param {BigUint64Array} stream
 * @returns {number}
 */
export function uniform(stream) {
  return Number(nextWord(stream) >> 11n) * 2 ** -53;
}

/**
 * An integer uniform over `0 .. count - 1`. Counts stay below 2**21, so that the product is exact in a double.
 * @param {BigUint64Array} stream
 * @param {number} count
 * @returns {number}
 */
export function below(stream, count) {
  return Math.floor((Number(nextWord(stream) >> 32n) * count) / 2 ** 32);
}

/** A seed that nobody chose. */
export function freshSeed() {
  return crypto.getRandomValues(new BigUint64Array(1))[0];
}
