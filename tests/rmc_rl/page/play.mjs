/**
 * Plays games as it is told, for test_games.py: a request on standard input, what came of it on standard output.
 *
 *   node play.mjs FOLDER < {"id": …, "options": …, "commands": [["reset", seed], ["step", action], …]}
 *
 * where FOLDER holds the games.
 *
 * The commands "clone" and "restore" put another game in the place of the one in play, which goes astray.
 */

import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const { makeGame } = await import(new URL("index.js", pathToFileURL(`${process.argv[2]}/`)));
const { id, options, commands } = JSON.parse(readFileSync(0, "utf8"));
let game = makeGame(id, options);
const observations = [];
const results = [];

/** Play on with whatever is possible: what a snapshot or a copy holds must not notice. */
function leadAstray(left) {
  for (let step = 0; step < 10; step++) {
    const { terminated, truncated } = left.state.phase === "over" ? { terminated: true } : left.step(step % 2);
    if (terminated || truncated) left.reset();
  }
}

const perform = {
  // A seed that JSON's numbers cannot hold comes as a string.
  reset: (seed) => observations.push(game.reset(typeof seed === "string" ? BigInt(seed) : seed)),
  step: (action) => {
    const { observation, ...result } = game.step(action);
    observations.push(observation);
    results.push(result);
  },
  clone: () => {
    const left = game;
    game = left.clone();
    leadAstray(left);
  },
  restore: () => {
    const saved = structuredClone(game.save());
    leadAstray(game);
    game = makeGame(id, options);
    game.load(saved);
  },
};
for (const [name, argument] of commands) perform[name](argument);

const { keys, restAction, actionNames, observationShape, observationType } = game;
const state = Object.fromEntries(
  Object.entries(game.state).map(([name, value]) => [
    name,
    name === "stream" ? Array.from(value, String) : typeof value === "object" ? [...value] : value,
  ]),
);
const bytes = observations.map(({ buffer, byteOffset, byteLength }) => Buffer.from(buffer, byteOffset, byteLength));
const played = { results, state, keys, restAction, actionNames, observationShape, observationType };
process.stdout.write(JSON.stringify({ ...played, observations: Buffer.concat(bytes).toString("base64") }));
