/** onnxruntime in the page, and the steps of agents and cores that it runs. */

/** Something a visitor can be told: what is wrong, and the remedy. */
export class PageError extends Error {}

/** Where a file is missing or damaged. */
const REMEDY = "write the page again with python -m rmc_rl.export format=page";
const WASM_MAGIC = [0x00, 0x61, 0x73, 0x6d];

/**
 * What the page is about: one step of an agent or a core, and what is said of it.
 * @param {string} name of the files `name.json` and `name.onnx`
 * @param {(total: number) => (bytes: number) => void} [loading] told how many bytes will come, then each time how many
 *   have
 * @returns {Promise<{model: Model, about: Object}>}
 */
export async function openModel(name, loading = () => () => {}) {
  const about = readJson(`${name}.json`, await download(`${name}.json`));
  const progress = loading(about.bytes);
  const [ort, bytes] = await Promise.all([loadRuntime(progress), download(`${name}.onnx`, progress)]);
  return { model: await Model.open(ort, bytes), about };
}

function readJson(name, bytes) {
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    throw new PageError(`${name} is damaged: ${REMEDY}`);
  }
}

/**
 * A file of this folder.
 * @param {string} name relative to the page
 * @param {(bytes: number) => void} [progress] told how many bytes have come, each time
 * @returns {Promise<Uint8Array>}
 */
async function download(name, progress = () => {}) {
  const parts = [];
  let size = 0;
  try {
    // The server is asked whether what the browser keeps is still current: of a page that was written anew, an old
    // model must not meet a new description.
    const response = await fetch(name, { cache: "no-cache" });
    if (!response.ok) throw new PageError(`${name} is missing (the server says ${response.status}): ${REMEDY}`);
    for (const reader = response.body.getReader(); ;) {
      const { done, value } = await reader.read();
      if (done) break;
      parts.push(value);
      size += value.length;
      progress(value.length);
    }
  } catch (error) {
    if (error instanceof PageError) throw error;
    throw new PageError(`${name} did not come whole: is the server still there? Reload the page.`);
  }
  const whole = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** Unpack WebAssembly that is packed with gzip; some servers have done it on the way. */
async function unpacked(name, packed) {
  let bytes = packed;
  if (bytes[0] === 0x1f && bytes[1] === 0x8b) {
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    bytes = await new Response(stream).arrayBuffer().then(
      (whole) => new Uint8Array(whole),
      () => [],
    );
  }
  if (WASM_MAGIC.some((byte, at) => bytes[at] !== byte)) throw new PageError(`${name} is damaged: ${REMEDY}`);
  return bytes;
}

/**
 * onnxruntime for WebAssembly in one thread, which needs no special headers from the server.
 * @param {(bytes: number) => void} progress
 */
async function loadRuntime(progress) {
  if (typeof WebAssembly !== "object") {
    throw new PageError(
      "This browser has no WebAssembly, or it is switched off: the agent runs in nothing else. " +
        "Switch it on, or take a current Firefox, Chrome, Edge or Safari.",
    );
  }
  const name = "ort/ort-wasm.bin";
  const wasm = await unpacked(name, await download(name, progress));
  let ort;
  try {
    ort = await import("./ort/ort.js");
  } catch {
    throw new PageError(`ort/ort.js is missing or no script: ${REMEDY}`);
  }
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmPaths = { mjs: new URL("ort/ort-wasm.js", document.baseURI).href };
  ort.env.wasm.wasmBinary = wasm;
  return ort;
}

/** An ONNX graph, ready to run. */
export class Model {
  /**
   * @param {Object} ort what `loadRuntime` gave
   * @param {Uint8Array} bytes
   */
  static async open(ort, bytes) {
    try {
      return new Model(ort, await ort.InferenceSession.create(bytes, { executionProviders: ["wasm"] }));
    } catch (error) {
      throw new PageError(`The model cannot be opened (${error.message}): ${REMEDY}`);
    }
  }

  constructor(ort, session) {
    this.ort = ort;
    this.session = session;
  }

  /**
   * Run the graph once.
   * @param {Object<string, {type: string, data: TypedArray, dims: number[]}>} inputs
   * @returns {Promise<Object<string, {data: TypedArray, dims: number[]}>>} the outputs by name
   */
  async run(inputs) {
    const tensor = ({ type, data, dims }) => new this.ort.Tensor(type, data, dims);
    const named = Object.entries(inputs).map(([name, input]) => [name, tensor(input)]);
    const found = await this.session.run(Object.fromEntries(named));
    return Object.fromEntries(Object.entries(found).map(([name, { data, dims }]) => [name, { data, dims }]));
  }
}

/** Nested lists, as JSON has them, as an input of one item: float32 [1, …]. */
export function batchOfOne(nested) {
  const dims = [1];
  for (let each = nested; Array.isArray(each); each = each[0]) dims.push(each.length);
  return { type: "float32", data: Float32Array.from([nested].flat(Infinity)), dims };
}
