/**
 * The page of Nth Farthest: the visitor moves vectors and asks, a memory answers, step by step (Figure 3 of the paper).
 */

import { drawMatrix, weightsOf } from "./attention.js";
import { uniform } from "./chance.js";
import { COLOURS, faded, number, percent, Sheet } from "./drawing.js";
import { Limits } from "./memory.js";
import { MemoryPanel } from "./memory_panel.js";
import { batchOfOne, openModel, PageError } from "./model.js";
import { fail, loading, ready } from "./notice.js";
import { Question } from "./question.js";
import { likeliest, softmax } from "./session.js";

const LARGEST_SEED = 2 ** 31;
/** So much of the map one press of an arrow key moves a vector. */
const NUDGE = 0.08;

const $ = (id) => document.getElementById(id);

/**
 * Let a memory read a whole question.
 * @param {Model} model one step: `input` [1, I] and the memory to `logits`, `next_…` and `attention`
 * @param {Object} about what `farthest.json` says of it
 * @param {Question} question
 * @returns {Promise<Object[]>} for each step the probabilities of the labels, the memory, attention and gates
 */
export async function read(model, about, question) {
  const names = about.inputs.filter((name) => name !== "input");
  let state = Object.fromEntries(names.map((name) => [name, batchOfOne(about.initial_state[name])]));
  const steps = [];
  for (let step = 0; step < question.count; step++) {
    const row = question.row(step);
    const out = await model.run({ input: { type: "float32", data: row, dims: [1, row.length] }, ...state });
    const memory = Object.fromEntries(names.map((name) => [name, out[`next_${name}`]]));
    state = Object.fromEntries(names.map((name) => [name, { type: "float32", ...memory[name] }]));
    steps.push({
      probabilities: softmax(out.logits.data),
      memory,
      attention: out.attention ?? null,
      inputGate: out.input_gate ?? null,
      forgetGate: out.forget_gate ?? null,
    });
  }
  return steps;
}

class Page {
  constructor(model, about, seed) {
    this.model = model;
    this.about = about;
    this.limits = new Limits();
    this.choice = { block: 0, head: null };
    this.map = new Sheet($("map"), () => this.draw());
    this.figure = new Sheet($("figure"), () => this.draw());
    this.memory = new MemoryPanel(
      document.querySelector(".memory"),
      "this step's vector, its label, n and m",
      (choice) => {
        this.choice = choice;
        this.draw();
      },
    );
    this.#setUp();
    this.ask(seed);
  }

  /** New vectors and a new question. */
  ask(seed) {
    this.seed = seed;
    this.question = new Question(this.about.num_vectors, this.about.dimensions, seed);
    const places = this.question.vectors.map((_, label) => this.question.place(label));
    const along = (axis, choose) => choose(...places.map((place) => place[axis]));
    this.spread = {
      least: [0, 1].map((axis) => along(axis, Math.min)),
      greatest: [0, 1].map((axis) => along(axis, Math.max)),
    };
    this.limits.clear();
    this.view = this.about.num_vectors - 1;
    this.changed();
  }

  /** The question is another: read it anew; what came in the meantime is read together. */
  async changed() {
    this.stale = true;
    if (this.reading) return;
    this.reading = true;
    try {
      while (this.stale) {
        this.stale = false;
        this.steps = await read(this.model, this.about, this.question);
        for (const step of this.steps) this.limits.add(step.memory);
        this.choice.block = Math.min(this.choice.block, (this.steps[0].attention?.dims[1] ?? 1) - 1);
        this.draw();
      }
    } catch (error) {
      fail(error);
    } finally {
      this.reading = false;
    }
  }

  look(step) {
    this.view = Math.min(Math.max(step, 0), this.question.count - 1);
    this.draw();
  }

  draw() {
    if (!this.steps) return;
    const { question, view } = this;
    const now = this.steps[view];
    const isLast = view === question.count - 1;
    this.memory.show(now, this.limits);
    this.#drawMap();
    this.#drawFigure();
    const found = likeliest(now.probabilities);
    const isRight = found === question.answer;
    $("question").textContent =
      `Which vector is the ${ordinal(question.n + 1)} farthest from vector ${question.m + 1}?`;
    $("verdict").className = isLast ? (isRight ? "right" : "wrong") : "";
    const likely = `${found + 1}, ${percent(now.probabilities[found])}`;
    const says = isLast ? `Its answer: ${likely}` : `After step ${view + 1} it leans to: ${likely}`;
    $("verdict").textContent = isLast
      ? `${says}. ${isRight ? "Right" : `Wrong: it is ${question.answer + 1}`}.`
      : `${says}.`;
    this.#drawAnswers(now);
    for (const [name, value] of [
      ["n", question.n],
      ["m", question.m],
    ]) {
      $(name)
        .querySelectorAll("button")
        .forEach((button, each) => button.setAttribute("aria-pressed", String(each === value)));
    }
    this.chips.forEach((chip, step) => {
      const label = question.shown[step];
      chip.textContent = `${label + 1}`;
      chip.setAttribute(
        "aria-label",
        `step ${step + 1}: vector ${label + 1} is shown${label === question.m ? ", which is m" : ""}`,
      );
      chip.setAttribute("aria-pressed", String(step === view));
      chip.classList.toggle("is-m", label === question.m);
    });
  }

  #drawMap() {
    const { context } = this.map;
    const { width, height } = this.map.clear();
    const { question, view } = this;
    const { reach, middle: centre } = this.#frame(width, height);
    const at = (label) => {
      const [x, y] = question.place(label);
      return [width / 2 + (x - centre[0]) * reach, height / 2 - (y - centre[1]) * reach];
    };
    const seen = new Set(question.shown.slice(0, view + 1));
    const middle = at(question.m);
    for (let label = 0; label < question.count; label++) {
      const place = at(label);
      const isAnswer = label === question.answer;
      if (label !== question.m) {
        context.strokeStyle = isAnswer ? COLOURS.yellow : faded("quiet", 0.3);
        context.lineWidth = isAnswer ? 2 : 1;
        context.beginPath();
        context.moveTo(...middle);
        context.lineTo(...place);
        context.stroke();
        const words = number(question.distance(label));
        this.map.text(words, place[0], place[1] + 27, {
          size: 11,
          align: "center",
          colour: isAnswer ? "yellow" : "quiet",
        });
      }
      const handle = this.handles[label];
      handle.style.left = `${place[0]}px`;
      handle.style.top = `${place[1]}px`;
      handle.className = [label === question.m && "is-m", isAnswer && "is-answer", !seen.has(label) && "is-unseen"]
        .filter(Boolean)
        .join(" ");
      const rank = question.order.indexOf(label) + 1;
      handle.setAttribute("aria-label", `vector ${label + 1}, ${ordinal(rank)} farthest from m; arrow keys move it`);
    }
  }

  /**
   * What the map shows of the plane: its middle, and pixels to one unit; vectors, as they were drawn, fill two thirds.
   */
  #frame(width, height) {
    const { least, greatest } = this.spread;
    const middle = least.map((low, axis) => (low + greatest[axis]) / 2);
    const size = least.map((low, axis) => Math.max(greatest[axis] - low, 0.2));
    return { middle, reach: Math.min((0.68 * width) / size[0], (0.62 * height) / size[1]) };
  }

  /** Attention at every step, as Figure 3 has it. */
  #drawFigure() {
    const { width, height } = this.figure.clear();
    const { steps, view } = this;
    if (steps[0].attention === null) return;
    const gap = 6;
    const margin = 3;
    const each = (width - 2 * margin - gap * (steps.length - 1)) / steps.length;
    steps.forEach(({ attention }, step) => {
      const weights = weightsOf(attention, this.choice.block, this.choice.head);
      const cell = Math.min(each / weights.columns, (height - 2 * margin) / weights.rows);
      const [across, down] = [cell * weights.columns, cell * weights.rows];
      const box = [margin + step * (each + gap) + (each - across) / 2, (height - down) / 2, across, down];
      drawMatrix(this.figure.context, weights, box);
      if (step !== view) return;
      this.figure.context.strokeStyle = COLOURS.text;
      this.figure.context.lineWidth = 1.5;
      this.figure.context.strokeRect(box[0] - 2, box[1] - 2, across + 4, down + 4);
    });
  }

  #drawAnswers({ probabilities }) {
    const { question } = this;
    const { order } = question;
    const largest = question.distance(order[0]) || 1;
    this.answers.forEach(({ item, name, distance, fill, share }, rank) => {
      const label = order[rank];
      item.className = [rank === question.n && "asked", label === likeliest(probabilities) && "chosen"]
        .filter(Boolean)
        .join(" ");
      name.textContent = label === question.m ? `${label + 1} (m)` : `${label + 1}`;
      distance.firstChild.style.transform = `scaleX(${question.distance(label) / largest})`;
      distance.title = `distance ${number(question.distance(label))}`;
      fill.style.transform = `scaleX(${probabilities[label]})`;
      share.textContent = percent(probabilities[label]);
    });
  }

  #setUp() {
    const { about } = this;
    const count = about.num_vectors;
    const facts = [`core ${about.core}`, `trained for ${about.steps.toLocaleString("en")} steps`];
    $("subtitle").textContent = [...facts, `${count} vectors of ${about.dimensions} numbers`].join("  \u00b7  ");
    document.querySelector(".figure").hidden = !about.outputs.includes("attention");
    const make = (tag, parent, text = "") => {
      const element = document.createElement(tag);
      element.textContent = text;
      if (tag === "button") element.type = "button";
      parent.append(element);
      return element;
    };
    for (const name of ["n", "m"]) {
      for (let value = 0; value < count; value++) {
        make("button", $(name), `${value + 1}`).addEventListener("click", () => {
          this.question[name] = value;
          this.changed();
        });
      }
    }
    this.chips = Array.from({ length: count }, (_, step) => {
      const chip = make("button", $("steps"));
      chip.addEventListener("click", () => this.look(step));
      return chip;
    });
    this.handles = Array.from({ length: count }, (_, label) => {
      const handle = make("button", $("handles"), `${label + 1}`);
      this.#makeMovable(handle, label);
      return handle;
    });
    this.answers = Array.from({ length: count }, (_, rank) => {
      const item = make("li", $("answers"));
      make("span", item, ordinal(rank + 1));
      const name = make("b", item);
      const [distance, track] = [make("span", item), make("span", item)];
      make("span", distance);
      distance.className = "track distance";
      track.className = "track";
      return { item, name, distance, fill: make("span", track), share: make("span", item) };
    });
    $("new").addEventListener("click", () => this.ask(Math.floor(uniform(this.seed, 2 ** 20) * LARGEST_SEED)));
    $("reorder").addEventListener("click", () => {
      this.seed += 1;
      this.question.reorder(this.seed);
      this.changed();
    });
    addEventListener("keydown", ({ key, target }) => {
      if (target.parentElement?.id === "handles") return;
      if (key === "ArrowLeft") this.look(this.view - 1);
      if (key === "ArrowRight") this.look(this.view + 1);
    });
  }

  #makeMovable(handle, label) {
    const moveTo = (place) => {
      this.question.move(label, place);
      this.changed();
    };
    handle.addEventListener("pointerdown", ({ pointerId }) => handle.setPointerCapture(pointerId));
    handle.addEventListener("pointermove", (event) => {
      if (!handle.hasPointerCapture(event.pointerId)) return;
      const { left, top, width, height } = $("map").getBoundingClientRect();
      const { reach, middle } = this.#frame(width, height);
      const [across, up] = [event.clientX - left - width / 2, top + height / 2 - event.clientY];
      moveTo([middle[0] + across / reach, middle[1] + up / reach]);
    });
    handle.addEventListener("keydown", (event) => {
      const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
      if (moves === undefined) return;
      event.preventDefault();
      moveTo(this.question.place(label).map((at, axis) => at + NUDGE * moves[axis]));
    });
  }
}

/** 1st, 2nd, 3rd, … */
function ordinal(rank) {
  const isTeen = Math.floor(rank / 10) % 10 === 1;
  return `${rank}${(isTeen ? undefined : ["th", "st", "nd", "rd"][rank % 10]) ?? "th"}`;
}

async function start() {
  const { model, about } = await openModel("farthest", loading);
  const seed = Number(new URLSearchParams(location.search).get("seed") ?? 1);
  if (!Number.isSafeInteger(seed) || seed < 0)
    throw new PageError("seed= in the address: a whole number from 0 is needed.");
  ready();
  new Page(model, about, seed);
}

start().catch(fail);
