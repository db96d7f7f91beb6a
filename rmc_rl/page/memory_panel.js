/**
 * The memory laid open: its contents, who reads whom, and the gates; a slot singled out by pointer, touch or keyboard.
 */

import { drawArcs, Easing, readerInWords, readShares, weightsOf } from "./attention.js";
import { COLOURS, faded, percent, prefersStillness, Sheet } from "./drawing.js";
import { asMatrix, Strips } from "./memory.js";

const HEADINGS = 22;
/** Below this width columns are narrow and headings short. */
const NARROW = 520;
/** Seconds in which two thirds of the way to new weights are gone. */
const EASE_SECONDS = 0.07;

/**
 * @typedef {Object} Thought what the panel shows of one moment
 * @property {Object<string, {data: Float32Array, dims: number[]}>} memory
 * @property {?{data: Float32Array, dims: number[]}} attention
 * @property {?{data: Float32Array, dims: number[]}} inputGate
 * @property {?{data: Float32Array, dims: number[]}} forgetGate
 */

export class MemoryPanel {
  /**
   * @param {HTMLElement} root holds `.memory-title`, `.heads`, `.blocks`, `.legend-low`, `.legend-high`,
   *   `.memory-stage`, `.memory-note`, and in the stage a canvas and `.slots`
   * @param {string} inputWords what the input is
   * @param {(chosen: {block: number, head: ?number}) => void} [chosen] told when another head or block is chosen
   */
  constructor(root, inputWords, chosen = () => {}) {
    this.root = root;
    this.inputWords = inputWords;
    this.chosen = chosen;
    this.block = 0;
    this.head = null;
    this.pinned = null;
    this.hovered = null;
    this.thought = null;
    this.easing = new Easing();
    this.strips = new Strips();
    this.drawn = 0;
    this.sheet = new Sheet(root.querySelector("canvas"), () => this.#redraw());
    addEventListener("keydown", ({ key }) => {
      if (key === "Escape") this.#pin(null);
    });
  }

  /** The slot that is singled out, if any. */
  get reader() {
    return this.hovered ?? this.pinned;
  }

  /**
   * Show a moment.
   * @param {Thought} thought
   * @param {Limits} limits of the colours
   * @param {boolean} [atOnce] without moving there
   */
  show(thought, limits, atOnce = false) {
    const isFirst = this.thought === null;
    this.thought = thought;
    this.limits = limits;
    if (isFirst) this.#setUp();
    if (atOnce || prefersStillness()) this.easing.shown = null;
    this.#redraw();
  }

  /** Titles, choices and buttons, which follow from the first moment. */
  #setUp() {
    const { root, thought } = this;
    const parts = Object.entries(thought.memory).map(([name, part]) => [name, asMatrix(part)]);
    const [[name, { rows, columns }]] = parts;
    const size = rows > 1 ? `${rows} slots \u00d7 ${columns} numbers` : `${columns} numbers`;
    root.querySelector(".memory-title").textContent = parts.length > 1 ? "Memory" : `${spoken(name)}: ${size}`;
    const { attention } = thought;
    root.classList.toggle("has-attention", attention !== null);
    root.querySelector(".memory-stage").style.setProperty("--rows", attention ? rows + 1 : 3 * parts.length);
    if (attention === null) return;
    const [, blocks, heads] = attention.dims;
    this.block = blocks - 1;
    const names = [["mean", null], ...Array.from({ length: heads }, (_, head) => [`${head + 1}`, head])];
    this.#offer(".heads", "head", heads > 1 ? names : [], null, (head) => (this.head = head));
    const rounds = Array.from({ length: blocks }, (_, block) => [`${block + 1}`, block]);
    this.#offer(".blocks", "block", blocks > 1 ? rounds : [], this.block, (block) => (this.block = block));
    this.#makeSlots(rows);
    this.chosen({ block: this.block, head: this.head });
  }

  #offer(selector, label, options, initial, choose) {
    const place = this.root.querySelector(selector);
    place.hidden = options.length === 0;
    const buttons = options.map(([name, value]) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = name;
      button.setAttribute("aria-label", `${label} ${name}`);
      button.setAttribute("aria-pressed", String(value === initial));
      button.addEventListener("click", () => {
        choose(value);
        for (const each of buttons) each.setAttribute("aria-pressed", String(each === button));
        this.chosen({ block: this.block, head: this.head });
        this.#redraw();
      });
      return button;
    });
    const name = document.createElement("span");
    name.textContent = label;
    place.replaceChildren(name, ...buttons);
  }

  #makeSlots(rows) {
    const place = this.root.querySelector(".slots");
    this.slots = Array.from({ length: rows }, (_, row) => {
      const button = document.createElement("button");
      button.type = "button";
      button.addEventListener("pointerenter", ({ pointerType }) => pointerType === "mouse" && this.#hover(row));
      button.addEventListener("pointerleave", () => this.#hover(null));
      button.addEventListener("focus", () => button.matches(":focus-visible") && this.#hover(row));
      button.addEventListener("blur", () => this.#hover(null));
      button.addEventListener("click", () => this.#pin(this.pinned === row ? null : row));
      return button;
    });
    place.replaceChildren(...this.slots);
  }

  #hover(row) {
    this.hovered = row;
    this.#redraw();
  }

  #pin(row) {
    this.pinned = row;
    this.slots?.forEach((button, each) => button.setAttribute("aria-pressed", String(each === row)));
    this.#redraw();
  }

  #redraw() {
    if (this.thought === null || this.waiting) return;
    this.waiting = true;
    requestAnimationFrame((now) => {
      this.waiting = false;
      const seconds = Math.min((now - this.drawn) / 1000, 0.1);
      this.drawn = now;
      const { width, height } = this.sheet.clear();
      if (width < 1 || height < 1) return;
      const parts = Object.entries(this.thought.memory);
      const limit = this.limits.of(parts[0][0]);
      const size = parts.length === 1 ? limit.toPrecision(2) : ""; // several parts have their scales beside them
      this.root.querySelector(".legend-low").textContent = `\u2212${size}`;
      this.root.querySelector(".legend-high").textContent = `+${size}`;
      if (this.thought.attention === null) this.#drawParts(parts, width, height);
      else this.#drawSlots(parts[0], limit, width, height, 1 - Math.exp(-seconds / EASE_SECONDS));
    });
  }

  #drawParts(parts, width, height) {
    const { context } = this.sheet;
    const label = parts.length > 1 ? 20 : 0;
    const each = height / parts.length;
    parts.forEach(([name, part], index) => {
      const top = index * each;
      const matrix = asMatrix(part);
      const limit = this.limits.of(name);
      if (label > 0) {
        const size = matrix.rows > 1 ? `${matrix.rows} \u00d7 ${matrix.columns}` : `${matrix.columns} numbers`;
        this.sheet.text(`${spoken(name)}: ${size}`, 0, top + label / 2);
        this.sheet.text(`\u00b1${limit.toPrecision(2)}`, width, top + label / 2, { align: "right" });
      }
      this.strips.drawInto(context, matrix, limit, [0, top + label, width, each - label - 6]);
    });
  }

  #drawSlots([, memory], limit, width, height, share) {
    const { sheet, thought, reader } = this;
    const { context } = sheet;
    const matrix = asMatrix(memory);
    const target = weightsOf(thought.attention, this.block, this.head);
    const { weights, arrived } = this.easing.towards(target, share);
    const { rows, columns } = weights;
    const inputGap = 6;
    const pitch = Math.min((height - HEADINGS - inputGap) / columns, 80);
    const middle = (row) => HEADINGS + (row + 0.5) * pitch + (row < rows ? 0 : inputGap);
    const column = this.#columns(width);

    // The row that is singled out
    if (reader !== null) {
      context.fillStyle = faded("track", 0.7);
      context.beginPath();
      context.roundRect(0, middle(reader) - pitch / 2 + 1, width, pitch - 2, 6);
      context.fill();
    }
    drawArcs(context, weights, { left: 0, right: column.arcs, middle, pitch, only: reader });

    const size = Math.min(13, Math.max(9, pitch * 0.6));
    const thick = Math.max(4, Math.min(pitch - 5, 56));
    this.strips.draw(context, matrix, limit, (row) => [
      column.strip,
      middle(row) - thick / 2,
      column.stripWidth,
      thick,
    ]);
    for (let row = 0; row < rows; row++) {
      sheet.text(`${row + 1}`, column.number, middle(row), {
        size,
        align: "right",
        colour: row === reader ? "text" : "quiet",
      });
    }
    for (let input = 0; input < columns - rows; input++) {
      const name = columns - rows > 1 ? `input ${input + 1}` : "input";
      const words = input === 0 && !column.isNarrow ? `${name}: ${this.inputWords}` : name;
      const room = column.read - column.strip - 8;
      sheet.text(words, column.strip, middle(rows + input), { size: Math.min(12, size), colour: "orange", room });
    }

    // How much each row is read
    const shares = readShares(weights, reader);
    const strongest = Math.max(...shares);
    shares.forEach((part, row) => {
      const isStrongest = part === strongest;
      sheet.text(percent(part), column.read + column.readWidth - 6, middle(row), {
        size,
        align: "right",
        colour: isStrongest ? "text" : "quiet",
        weight: isStrongest ? 600 : 400,
      });
    });
    for (const { gate, x } of column.gates) {
      for (let row = 0; row < rows; row++) this.#drawGate(gate, row, x, middle(row), column.gateWidth, size);
    }
    this.#drawHeadings(column, reader);
    this.#placeSlots(middle, pitch, target);
    if (!arrived) this.#redraw();
  }

  /** Where everything lies from left to right. */
  #columns(width) {
    const isNarrow = width < NARROW;
    const gates = [this.thought.inputGate, this.thought.forgetGate].filter((gate) => gate !== null);
    const gateWidth = isNarrow ? 34 : 62;
    const readWidth = isNarrow ? 42 : 66;
    const arcs = Math.min(Math.round((isNarrow ? 0.25 : 0.27) * width), 320);
    const number = arcs + (isNarrow ? 21 : 26);
    const strip = number + (isNarrow ? 6 : 10);
    const read = width - readWidth - gates.length * gateWidth;
    const places = gates.map((gate, index) => ({ gate, x: width - (gates.length - index) * gateWidth }));
    return { isNarrow, arcs, number, strip, stripWidth: read - strip, read, readWidth, gates: places, gateWidth };
  }

  #drawHeadings(column, reader) {
    const { sheet } = this;
    const y = HEADINGS / 2 - 2;
    const heading = (words, x, align = "left", room = undefined) => sheet.text(words, x, y, { size: 11, align, room });
    heading(column.isNarrow ? "who reads" : "who reads whom", 0);
    heading("slot", column.number + 2, "right");
    heading(column.isNarrow ? "" : "contents", column.strip);
    const readHeading =
      reader === null
        ? column.isNarrow
          ? "read"
          : "read by all"
        : column.isNarrow
          ? `by ${reader + 1}`
          : `read by ${reader + 1}`;
    heading(readHeading, column.read + column.readWidth - 6, "right");
    const names = ["enters", "stays"];
    column.gates.forEach(({ x }, index) => heading(names[index], x + column.gateWidth, "right"));
  }

  /** A gate's mean over one row, as a number over a bar. */
  #drawGate({ data, dims }, row, x, middle, width, size) {
    const { context } = this.sheet;
    const columns = dims.at(-1);
    let sum = 0;
    for (let i = 0; i < columns; i++) sum += data[row * columns + i];
    const mean = sum / columns;
    const length = width - 8;
    this.sheet.text(percent(mean), x + width, middle - 3, { size: Math.min(size, 12), align: "right", colour: "text" });
    context.fillStyle = COLOURS.track;
    context.fillRect(x + 8, middle + size / 2 + 1, length, 3);
    context.fillStyle = COLOURS.yellow;
    context.fillRect(x + 8, middle + size / 2 + 1, length * mean, 3);
  }

  #placeSlots(middle, pitch, target) {
    this.slots.forEach((button, row) => {
      button.style.top = `${middle(row) - pitch / 2}px`;
      button.style.height = `${pitch}px`;
      button.setAttribute("aria-label", readerInWords(target, row));
    });
  }
}

/** A name of the graph as words. */
function spoken(name) {
  const words = name.replaceAll("_", " ");
  return words[0].toUpperCase() + words.slice(1);
}
