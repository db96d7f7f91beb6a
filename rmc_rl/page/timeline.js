/** The course of an episode: value, reward, entropy, action probabilities and attention to the input, step by step. */

import { readShares, weightsOf } from "./attention.js";
import { COLOURS, faded, heat, number, percent, Sheet } from "./drawing.js";

/** Steps that the time line spans at least. */
const SHORTEST_SPAN = 40;
/** Rows of a band are named where they are at least so high. */
const NAMED_ROW = 8.5;

/** The least and the greatest of a few numbers or of very many, which a call of `Math.min` does not take. */
function rangeOf(values) {
  let [least, greatest] = [Infinity, -Infinity];
  for (const value of values) [least, greatest] = [Math.min(least, value), Math.max(greatest, value)];
  return [least, greatest];
}

/** Rows of numbers over time as a picture that grows by a column a step. */
class Band {
  constructor(rows, colour) {
    this.rows = rows;
    this.colour = colour;
    this.canvas = document.createElement("canvas");
    this.context = this.canvas.getContext("2d", { willReadFrequently: true });
    [this.canvas.width, this.canvas.height] = [512, rows];
    this.column = new ImageData(1, rows);
  }

  put(step, values) {
    const { canvas, context } = this;
    if (step >= canvas.width) {
      const before = context.getImageData(0, 0, canvas.width, this.rows);
      canvas.width *= 2;
      context.putImageData(before, 0, 0);
    }
    values.forEach((value, row) => this.colour(this.column.data, 4 * row, value));
    context.putImageData(this.column, step, 0);
  }

  draw(context, steps, x, y, width, height) {
    context.imageSmoothingEnabled = false;
    context.drawImage(this.canvas, 0, 0, steps, this.rows, x, y, width, height);
  }
}

export class Timeline {
  /**
   * @param {HTMLElement} root a canvas's parent, with the role of a slider
   * @param {string[]} actionNames
   * @param {(step: number) => void} scrubbed told which step the visitor wants to see
   */
  constructor(root, actionNames, scrubbed) {
    this.root = root;
    this.actionNames = actionNames;
    this.scrubbed = scrubbed;
    this.sheet = new Sheet(root.querySelector("canvas"), () => this.draw());
    this.moments = [];
    this.view = 0;
    this.choice = { block: 0, head: null };
    this.actions = new Band(actionNames.length, (pixels, at, share) => heat(pixels, at, -Math.sqrt(share), 1));
    this.#listen();
  }

  /**
   * Show an episode.
   * @param {Moment[]} moments
   * @param {number} view which of them is looked at
   */
  show(moments, view) {
    // Another episode, or this one taken up anew from a moment before.
    if (moments !== this.moments || moments[this.taken - 1] !== this.newest) this.taken = 0;
    this.moments = moments;
    this.view = view;
    for (; this.taken < moments.length; this.taken++) this.#take(moments[this.taken]);
    this.newest = moments.at(-1);
    this.draw();
  }

  /** Whose attention to the input is shown. */
  choose(choice) {
    this.choice = choice;
    this.taken = 0;
    this.show(this.moments, this.view);
  }

  #take(moment) {
    this.actions.put(moment.number, moment.probabilities);
    if (moment.attention === null) return;
    const weights = weightsOf(moment.attention, this.choice.block, this.choice.head);
    this.input ??= new Band(weights.rows, (pixels, at, share) => heat(pixels, at, share, 1));
    const shares = Array.from({ length: weights.rows }, (_, row) =>
      readShares(weights, row)
        .slice(weights.rows)
        .reduce((sum, share) => sum + share, 0),
    );
    moment.inputShare = shares.reduce((sum, share) => sum + share, 0) / shares.length;
    this.input.put(moment.number, shares);
  }

  draw() {
    const { moments, sheet } = this;
    const { width, height } = sheet.clear();
    const now = moments[this.view];
    if (now === undefined || width < 1) return;
    const isNarrow = width < 520;
    const left = isNarrow ? 104 : 178 * sheet.scale;
    const axis = 22;
    const lanes = this.#lanes(now);
    const gap = 7;
    const share = (height - axis - gap * (lanes.length - 1)) / lanes.reduce((sum, lane) => sum + lane.weight, 0);
    this.span = Math.max(SHORTEST_SPAN, moments.length);
    this.plot = { left, width: width - left - 6 };
    let top = 0;
    for (const lane of lanes) {
      const box = { x: left, y: top, width: this.plot.width, height: lane.weight * share };
      sheet.text(lane.name, 0, top + Math.min(9, box.height / 2), { size: 12 });
      const [x, below, align] = isNarrow ? [0, 15, "left"] : [60 * sheet.scale, 0, "left"];
      sheet.text(lane.now, x, top + Math.min(9, box.height / 2) + below, { size: 12, align, colour: lane.colour });
      lane.draw(box);
      top += box.height + gap;
    }
    this.#drawAxis(top - gap, height, isNarrow);
    this.#announce(now);
  }

  #lanes(now) {
    const { moments } = this;
    const lanes = [
      {
        name: "value",
        now: number(now.value),
        colour: "yellow",
        weight: 2,
        draw: (box) =>
          this.#curve(
            box,
            moments.map((m) => m.value),
            "yellow",
          ),
      },
      {
        name: "reward",
        now: number(now.reward, { signed: now.number > 0 }),
        colour: "blue",
        weight: 1.5,
        draw: (box) =>
          this.#bars(
            box,
            moments.map((m) => m.reward),
          ),
      },
      {
        name: "entropy",
        now: `${number(now.entropy)}\u00a0nat`,
        colour: "text",
        weight: 1.5,
        draw: (box) =>
          this.#curve(
            box,
            moments.map((m) => m.entropy),
            "quiet",
            Math.log(this.actionNames.length),
          ),
      },
      {
        name: "actions",
        now: "",
        colour: "text",
        weight: Math.min(6, 0.6 + 0.9 * this.actionNames.length),
        draw: (box) => this.#actionBand(box),
      },
    ];
    if (this.input) {
      lanes.push({
        name: "input",
        now: percent(now.inputShare ?? 0),
        colour: "orange",
        weight: Math.min(5, 0.6 + 0.7 * this.input.rows),
        draw: (box) => this.#inputBand(box),
      });
    }
    return lanes;
  }

  #x(step) {
    return this.plot.left + ((step + 0.5) * this.plot.width) / this.span;
  }

  #curve({ x, y, width, height }, values, colour, most = undefined) {
    const { context } = this.sheet;
    const [least, greatest] = rangeOf(values);
    const [low, high] = [Math.min(0, least), Math.max(0, most ?? greatest)];
    const reach = high - low > 1e-9 ? high - low : 1;
    const at = (value) => y + height - 1 - ((value - low) / reach) * (height - 2);
    context.fillStyle = COLOURS.track;
    context.fillRect(x, Math.round(at(0)), width, 1);
    context.beginPath();
    values.forEach((value, step) => context.lineTo(this.#x(step), at(value)));
    context.strokeStyle = COLOURS[colour];
    context.lineWidth = 1.5;
    context.lineJoin = "round";
    context.stroke();
    context.lineTo(this.#x(values.length - 1), at(0));
    context.lineTo(this.#x(0), at(0));
    context.fillStyle = faded(colour, 0.12);
    context.fill();
  }

  #bars({ x, y, width, height }, values) {
    const { context } = this.sheet;
    const [least, greatest] = rangeOf(values);
    const limit = Math.max(1e-9, greatest, -least);
    const hasLosses = least < 0;
    const zero = hasLosses ? y + height / 2 : y + height - 1;
    const room = hasLosses ? height / 2 : height - 1;
    const thick = Math.min(10, Math.max(1, (0.7 * width) / this.span));
    context.fillStyle = COLOURS.track;
    context.fillRect(x, Math.round(zero), width, 1);
    values.forEach((value, step) => {
      if (value === 0) return;
      const tall = Math.max(1, (Math.abs(value) / limit) * room);
      context.fillStyle = value > 0 ? COLOURS.blue : COLOURS.vermilion;
      context.fillRect(this.#x(step) - thick / 2, value > 0 ? zero - tall : zero, thick, tall);
    });
  }

  #actionBand(box) {
    const { context } = this.sheet;
    const { moments, actionNames } = this;
    const rows = actionNames.length;
    const taken = (moments.length * box.width) / this.span;
    const pitch = box.height / rows;
    this.#frame(box);
    this.actions.draw(context, moments.length, box.x, box.y, taken, box.height);
    const mark = Math.min(4, 0.45 * pitch, (0.35 * box.width) / this.span);
    if (mark > 0.8) {
      for (const { action, number: step, byHand } of moments) {
        if (action === null) continue;
        context.fillStyle = byHand ? COLOURS.yellow : COLOURS.orange;
        context.beginPath();
        context.arc(this.#x(step), box.y + (action + 0.5) * pitch, mark, 0, 2 * Math.PI);
        context.fill();
      }
    }
    this.#nameRows(box, actionNames);
  }

  #inputBand(box) {
    const taken = (this.moments.length * box.width) / this.span;
    this.#frame(box);
    this.input.draw(this.sheet.context, this.moments.length, box.x, box.y, taken, box.height);
    this.#nameRows(
      box,
      Array.from({ length: this.input.rows }, (_, row) => `${row + 1}`),
    );
  }

  #frame({ x, y, width, height }) {
    const { context } = this.sheet;
    context.fillStyle = faded("track", 0.3);
    context.fillRect(x, y, width, height);
  }

  #nameRows({ x, y, height }, names) {
    const pitch = height / names.length;
    if (pitch < NAMED_ROW) return;
    const size = Math.min(11, pitch + 0.5);
    names.forEach((name, row) =>
      this.sheet.text(name, x - 12, y + (row + 0.5) * pitch, { size, align: "right", room: 60 }),
    );
  }

  #drawAxis(bottom, height, isNarrow) {
    const { context } = this.sheet;
    const wanted = isNarrow ? 4 : 10;
    const pace = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000].find((each) => this.span / each <= wanted) ?? 5000;
    this.sheet.text("step", 0, height - 6, { size: 11 });
    for (let step = 0; step < this.span; step += pace) {
      this.sheet.text(`${step}`, this.#x(step), height - 6, { size: 11, align: "center" });
    }
    const x = this.#x(this.view);
    context.fillStyle = faded("text", 0.85);
    context.fillRect(Math.round(x) - 0.5, 0, 1, bottom + 3);
    context.beginPath();
    context.moveTo(x - 5, bottom + 7);
    context.lineTo(x + 5, bottom + 7);
    context.lineTo(x, bottom + 1);
    context.fill();
  }

  #announce(now) {
    const { root, moments } = this;
    root.setAttribute("aria-valuemin", "0");
    root.setAttribute("aria-valuemax", String(moments.length - 1));
    root.setAttribute("aria-valuenow", String(this.view));
    const done = now.action === null ? `the episode is ${now.ending}` : `action ${this.actionNames[now.action]}`;
    const words = `step ${now.number}, value ${number(now.value)}, reward ${number(now.reward)}, ${done}`;
    root.setAttribute("aria-valuetext", words);
  }

  #listen() {
    const { root } = this;
    const scrub = ({ clientX }) => {
      if (!this.plot || this.moments.length === 0) return;
      const x = clientX - root.getBoundingClientRect().left - this.plot.left;
      const step = Math.floor((x / this.plot.width) * this.span);
      this.scrubbed(Math.min(Math.max(step, 0), this.moments.length - 1));
    };
    root.addEventListener("pointerdown", (event) => {
      root.setPointerCapture(event.pointerId);
      scrub(event);
    });
    root.addEventListener("pointermove", (event) => {
      if (root.hasPointerCapture(event.pointerId)) scrub(event);
    });
    root.addEventListener("keydown", (event) => {
      const moves = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -Infinity, End: Infinity };
      if (!(event.key in moves)) return;
      event.preventDefault();
      event.stopPropagation();
      const step = this.view + moves[event.key];
      this.scrubbed(Math.min(Math.max(step, 0), this.moments.length - 1));
    });
  }
}
