/** onnxruntime in the page, and the steps of agents and cores that it runs. */

/** Something a visitor can be told: what is wrong, and the remedy. */
export class PageError extends Error {}

/**
 * A file of this folder.
 * @param {string} name relative to the page
 * @param {string} remedy what to do where it is missing
 * @param {(bytes: number) => void} [progress] told how many bytes have come, each time
 * @returns {Promise<Uint8Array>}
 */
export async function download(name, remedy, progress = () => {}) {
  let response;
  try {
    response = await fetch(name);
  } catch {
    throw new PageError(`${name} did not come: is the server still there? Reload the page.`);
  }
  if (!response.ok) throw new PageError(`${name} is missing (the server says ${response.status}): ${remedy}`);
  const parts = [];
  let size = 0;
  for (const reader = response.body.getReader(); ;) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
    size += value.length;
    progress(value.length);
  }
  const whole = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** Unpack what is packed with gzip; some servers have done it on the way. */
async function unpacked(bytes) {
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes;
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/**
 * onnxruntime for WebAssembly in one thread, which needs no special headers from the server.
 * @param {string} remedy what to do where a file of it is missing
 * @param {(bytes: number) => void} progress
 */
export async function loadRuntime(remedy, progress) {
  if (typeof WebAssembly !== "object") {
    throw new PageError(
      "This browser has no WebAssembly, or it is switched off: the agent runs in nothing else. " +
        "Switch it on, or take a current Firefox, Chrome, Edge or Safari.",
    );
  }
  const packed = await download("ort/ort-wasm.bin", remedy, progress);
  let ort;
  try {
    ort = await import("./ort/ort.js");
  } catch {
    throw new PageError(`ort/ort.js is missing or no script: ${remedy}`);
  }
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmPaths = { mjs: new URL("ort/ort-wasm.js", document.baseURI).href };
  ort.env.wasm.wasmBinary = await unpacked(packed);
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
      const why = "its file is damaged or of a newer kind; write the page again";
      throw new PageError(`The model cannot be opened (${error.message}): ${why}.`);
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
