/** Checks of what comes from outside: each returns the value, or throws an Error that names it and what is allowed. */

const shown = (value) => (typeof value === "bigint" ? `${value}` : (JSON.stringify(value) ?? String(value)));

/**
 * The integer option `value`, which must be in `least .. most`.
 * @returns {number}
 */
export function checkCount(name, value, least = 1, most = 2 ** 31 - 1) {
  if (!Number.isInteger(value)) throw new Error(`${name} must be an integer, got ${shown(value)}`);
  if (value < least || value > most) throw new Error(`${name} must be in ${least} .. ${most}, got ${value}`);
  return value;
}

/**
 * The option `value`, which must be one of the strings `choices`.
 * @returns {string}
 */
export function checkChoice(name, value, choices) {
  if (!choices.includes(value)) throw new Error(`${name} must be one of ${choices.join(", ")}, got ${shown(value)}`);
  return value;
}

/**
 * The option `value`, which must be true or false.
 * @returns {boolean}
 */
export function checkFlag(name, value) {
  if (typeof value !== "boolean") throw new Error(`${name} must be true or false, got ${shown(value)}`);
  return value;
}

/**
 * The option `value`, which must be [a, b] with `least <= a <= b`.
 * @returns {[number, number]}
 */
export function checkRange(name, value, least) {
  const isRange = Array.isArray(value) && value.length === 2 && value.every(Number.isInteger);
  if (!isRange || value[0] < least || value[0] > value[1]) {
    throw new Error(`${name} must be two integers [a, b], ${least} <= a <= b, got ${shown(value)}`);
  }
  return [...value];
}

/**
 * `value` as a 64-bit seed: a bigint, or a number that holds it exactly.
 * @returns {bigint}
 */
export function checkSeed(value, largest) {
  if (typeof value === "number" && Number.isInteger(value) && value > Number.MAX_SAFE_INTEGER) {
    throw new Error(`seed must be a BigInt where it is above 2**53 - 1, got the Number ${value}`);
  }
  if (typeof value !== "bigint" && !Number.isInteger(value)) {
    throw new Error(`seed must be an integer, got ${shown(value)}`);
  }
  if (value < 0 || value > largest) throw new Error(`seed must be in 0 .. ${largest}, got ${value}`);
  return BigInt(value);
}

/**
 * The options of a game: `given`, the rest from `defaults`. There are no others than those of `defaults`.
 * @returns {Object<string, *>}
 */
export function checkOptions(id, given, defaults) {
  if (given === null || typeof given !== "object" || Array.isArray(given)) {
    throw new Error(`the options of ${id} must be an object of names and values, got ${shown(given)}`);
  }
  const unknown = Object.keys(given).filter((name) => !Object.hasOwn(defaults, name));
  if (unknown.length > 0) {
    throw new Error(`${id} has no option ${unknown.join(", ")}; its options are ${Object.keys(defaults).join(", ")}`);
  }
  return { ...defaults, ...given };
}
