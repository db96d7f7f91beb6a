/** The page: loads the agent, lets it play or the visitor, and shows what it sees, thinks and remembers. */

import { number, percent, prefersStillness, Sheet } from "./drawing.js";
import { makeGame } from "./games/index.js";
import { Limits } from "./memory.js";
import { MemoryPanel } from "./memory_panel.js";
import { openModel, PageError } from "./model.js";
import { fail, loading, ready } from "./notice.js";
import { Sees } from "./sees.js";
import { Session } from "./session.js";
import { Timeline } from "./timeline.js";

/** Steps per second. */
const SPEEDS = [1, 2, 4, 8, 15, 30, 60, 120];
/** So long the last moment of an episode stays in sight. */
const ENDING_MILLISECONDS = 1500;

/** Keys that move a slider which has the focus. */
const SLIDING = ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"];

const KEYS = [
  ["space", "play, pause"],
  ["right  or  .", "one step"],
  ["left  or  ,", "one step back"],
  ["up  or  +", "faster"],
  ["down  or  \u2212", "slower"],
  ["n", "next episode"],
  ["g", "greedy or sampled actions"],
  ["p", "you play, or the agent"],
  ["Esc", "let go of the slot that is singled out"],
  ["h", "this help"],
];

const $ = (id) => document.getElementById(id);

class Page {
  constructor(session, about) {
    this.session = session;
    this.about = about;
    this.view = 0;
    this.playing = false;
    this.byHand = false;
    this.speed = SPEEDS[$("speed").valueAsNumber];
    this.due = 0;
    this.busy = Promise.resolve();
    this.waiting = 0;
    this.limits = new Limits();
    const { game } = session;
    const redraw = () => (this.stale = true);
    this.board = new Sheet($("board"), redraw);
    this.sees = new Sees(new Sheet($("sees"), redraw), about.observation, game.id);
    const memory = document.querySelector(".memory");
    this.memory = new MemoryPanel(memory, "what it sees, last action, last reward", (choice) =>
      this.timeline.choose(choice),
    );
    this.timeline = new Timeline($("timeline"), game.actionNames, (step) => this.look(step, { pause: true }));
    this.#setUp();
  }

  get moments() {
    return this.session.moments;
  }

  /** Whether the newest moment is looked at. */
  get isLive() {
    return this.view >= this.moments.length - 1;
  }

  /** Do something with the session after all that was asked for before. */
  #queue(ask) {
    this.waiting++;
    this.busy = this.busy
      .then(ask)
      .catch((error) => this.#stop(error))
      .finally(() => this.waiting--);
    return this.busy;
  }

  #stop(error) {
    this.set({ playing: false });
    fail(error);
    throw error;
  }

  /** Take the session's newest moment into view. */
  #took(moment) {
    if (moment.number === 0) this.limits.clear();
    this.limits.add(moment.memory);
    this.view = moment.number;
    this.endedAt = moment.ending === null ? null : performance.now();
    this.stale = true;
  }

  begin(seed, episode = 0) {
    return this.#queue(async () => this.#took(await this.session.begin(seed, episode)));
  }

  nextEpisode() {
    return this.#queue(async () => this.#took(await this.session.nextEpisode()));
  }

  /** One moment on: the next of those that are kept, or a new one. */
  advance() {
    return this.#queue(async () => {
      if (this.isLive) this.#took(await this.session.advance());
      else this.look(this.view + 1);
    });
  }

  /** The visitor's action; one chosen while looking back makes what came after undone. */
  act(action) {
    if (this.waiting > 1) return;
    this.#queue(async () => {
      if (!this.isLive) this.session.goBackTo(this.view);
      this.#took(await this.session.advance(action));
    });
  }

  /** Look at a moment that is kept. */
  look(step, { pause = false } = {}) {
    this.view = Math.min(Math.max(step, 0), this.moments.length - 1);
    if (pause) this.set({ playing: false });
    this.stale = true;
  }

  /** Change what the visitor can set, and show it. */
  set(changed) {
    Object.assign(this, changed);
    if (changed.byHand) this.playing = false;
    if (changed.playing) this.byHand = false;
    if (changed.greedy !== undefined) this.session.greedy = changed.greedy;
    const press = (id, on) => $(id).setAttribute("aria-pressed", String(on));
    press("agent-plays", !this.byHand);
    press("you-play", this.byHand);
    press("greedy", this.session.greedy);
    press("sampled", !this.session.greedy);
    $("pad").hidden = !this.byHand;
    document.body.classList.toggle("playing", this.playing);
    $("play").setAttribute("aria-label", this.playing ? "Pause" : "Play");
    $("speed").value = SPEEDS.indexOf(this.speed);
    $("speed-words").textContent = `${this.speed} step${this.speed === 1 ? "" : "s"}/s`;
    this.stale = true;
  }

  changeSpeed(by) {
    this.set({ speed: SPEEDS[Math.min(Math.max(SPEEDS.indexOf(this.speed) + by, 0), SPEEDS.length - 1)] });
  }

  /** Before each frame: so many steps as are due, then what has changed. */
  async run() {
    let before = performance.now();
    for (;;) {
      const now = await new Promise(requestAnimationFrame);
      const seconds = Math.min((now - before) / 1000, 0.25);
      before = now;
      if (this.playing && this.waiting === 0) await this.#playOn(seconds);
      else this.due = 0;
      if (this.stale) this.#draw();
    }
  }

  async #playOn(seconds) {
    const ended = this.moments[this.view]?.ending;
    if (ended && this.isLive && performance.now() - this.endedAt < ENDING_MILLISECONDS) return;
    this.due = Math.min(this.due + seconds * this.speed, 8);
    // A frame's time is for drawing, too: what it does not hold is left undone, and the agent is slower than asked.
    for (const until = performance.now() + 10; this.due >= 1 && performance.now() < until; this.due--) {
      await this.advance();
      if (this.moments[this.view].ending !== null) this.due = 0;
    }
  }

  #draw() {
    const moment = this.moments[this.view];
    if (moment === undefined) return;
    this.stale = false;
    const { session } = this;
    this.#drawBoard(moment);
    this.sees.draw(moment.observation);
    this.memory.show(moment, this.limits, this.speed > 20 && this.playing);
    this.timeline.show(this.moments, this.view);
    this.#drawPolicy(moment);
    $("return").textContent = number(moment.episodeReturn);
    $("step").textContent = moment.number.toLocaleString("en");
    $("episode").textContent = (session.episode + 1).toLocaleString("en");
    if (document.activeElement !== $("seed")) $("seed").value = session.seed;
    $("ending").hidden = moment.ending === null;
    if (moment.ending !== null) {
      $("ending").textContent = `Episode ${moment.ending} with a return of ${number(moment.episodeReturn)}`;
    }
    $("input-note").hidden = moment.attention === null;
    $("back").disabled = this.view === 0;
    const back = this.moments.length - 1 - this.view;
    const looking = back > 0 ? `looking back ${back} step${back === 1 ? "" : "s"}` : "";
    const state = [looking, this.byHand ? "your move" : this.playing ? "" : "paused"]
      .filter(Boolean)
      .join("  \u00b7  ");
    if ($("state").textContent !== state) $("state").textContent = state;
  }

  #drawBoard(moment) {
    const { width, height } = this.board.clear();
    this.shown ??= makeGame(this.about.game.id, this.about.game.kwargs);
    this.shown.load(moment.saved);
    this.shown.draw(this.board.context, width, height);
  }

  #drawPolicy({ probabilities, action, byHand }) {
    this.bars.forEach(({ item, fill, share }, index) => {
      const probability = probabilities[index];
      item.className = index !== action ? "" : byHand ? "chosen by-hand" : "chosen";
      fill.style.transform = `scaleX(${probability})`;
      share.textContent = percent(probability);
    });
  }

  #setUp() {
    const { about, session } = this;
    const { game } = session;
    $("title").textContent = document.title = about.name;
    $("subtitle").textContent = `core ${about.core}  \u00b7  trained for ${about.steps.toLocaleString("en")} steps`;
    $("about").textContent = `Run ${about.run}, ${game.id}, rmc-rl ${about.rmc_rl}. All of it runs in this browser.`;
    const [width, height] = game.drawingSize;
    $("board").parentElement.style.setProperty("--board-aspect", `${width / height}`);
    $("board").setAttribute("aria-label", `The board of ${about.name}`);
    this.bars = game.actionNames.map((name) => {
      const item = document.createElement("li");
      const [label, track, fill, share] = ["span", "span", "span", "span"].map((tag) => document.createElement(tag));
      [label.textContent, track.className, share.className] = [name, "track", "share"];
      track.append(fill);
      item.append(label, track, share);
      $("policy").append(item);
      return { item, fill, share };
    });
    for (const [key, meaning] of [...KEYS, ["to play", playingKeys(game)]]) {
      const [term, words] = [document.createElement("dt"), document.createElement("dd")];
      [term.textContent, words.textContent] = [key, meaning];
      $("keys").append(term, words);
    }
    this.#makePad(game);
    this.#listen(game);
  }

  #makePad(game) {
    const isCross = ["up", "left", "right", "down"].every((name) => game.actionNames.includes(name));
    $("pad").classList.toggle("cross", isCross);
    game.actionNames.forEach((name, action) => {
      const button = document.createElement("button");
      button.type = "button";
      const key = Object.keys(game.keys).find((each) => game.keys[each] === action);
      const hint = document.createElement("small");
      hint.textContent = key ? key.replace("Arrow", "") : "";
      button.append(name, hint);
      if (isCross) button.className = name;
      button.addEventListener("click", () => this.act(action));
      $("pad").append(button);
    });
  }

  #listen(game) {
    const click = (id, does) => $(id).addEventListener("click", does);
    const togglePlay = () => this.set({ playing: !this.playing });
    const oneStep = () => {
      this.set({ playing: false });
      return this.byHand && this.isLive ? this.act(game.restAction ?? this.session.last.action) : this.advance();
    };
    const back = () => this.look(this.view - 1, { pause: true });
    const toggleGreedy = () => this.set({ greedy: !this.session.greedy });
    click("play", togglePlay);
    click("forward", oneStep);
    click("back", back);
    click("next", () => this.nextEpisode());
    click("agent-plays", () => this.set({ byHand: false }));
    click("you-play", () => this.set({ byHand: true }));
    click("sampled", () => this.set({ greedy: false }));
    click("greedy", () => this.set({ greedy: true }));
    click("help-button", () => $("help").showModal());
    $("speed").max = SPEEDS.length - 1;
    $("speed").addEventListener("input", () => this.set({ speed: SPEEDS[$("speed").valueAsNumber] }));
    $("seed").addEventListener("change", () => {
      const seed = $("seed").valueAsNumber;
      if ($("seed").checkValidity() && Number.isSafeInteger(seed)) this.begin(seed);
      else this.stale = true;
      $("seed").blur();
    });
    const pressed = {
      " ": togglePlay,
      ArrowRight: oneStep,
      ".": oneStep,
      ArrowLeft: back,
      ",": back,
      ArrowUp: () => this.changeSpeed(1),
      "+": () => this.changeSpeed(1),
      ArrowDown: () => this.changeSpeed(-1),
      "-": () => this.changeSpeed(-1),
      n: () => this.nextEpisode(),
      g: toggleGreedy,
      p: () => this.set({ byHand: !this.byHand }),
      h: () => $("help").showModal(),
    };
    // What was clicked or dragged does not keep the keys: they are the game's. What was gone to by Tab keeps its own.
    addEventListener("pointerup", () => document.activeElement.closest("button, #speed, #timeline")?.blur());
    addEventListener("keydown", (event) => {
      const { key, target } = event;
      if (event.ctrlKey || event.metaKey || event.altKey || $("help").open) return;
      if (target === $("seed") || (target === $("speed") && SLIDING.includes(key))) return;
      if (target instanceof HTMLButtonElement && [" ", "Enter"].includes(key)) return;
      const action = this.byHand ? game.keys[key] : undefined;
      const does = action !== undefined ? () => this.act(action) : pressed[key];
      if (does === undefined) return;
      event.preventDefault();
      does();
    });
    document.addEventListener("visibilitychange", () => document.hidden && this.set({ playing: false }));
  }
}

/** How a person plays, in words. */
function playingKeys(game) {
  const named = game.actionNames.map((name, action) => {
    const keys = Object.keys(game.keys).filter((key) => game.keys[key] === action);
    return `${keys.map((key) => key.replace("Arrow", "").toLowerCase()).join(" or ") || "no key"}: ${name}`;
  });
  return named.slice(0, 8).join(", ") + (named.length > 8 ? ", \u2026" : "");
}

async function start() {
  const { model, about } = await openModel("agent", loading);
  const asked = new URLSearchParams(location.search);
  const seed = Number(asked.get("seed") ?? about.first_seed);
  if (!Number.isSafeInteger(seed) || seed < 0)
    throw new PageError(`seed=${asked.get("seed")} in the address: a whole number from 0 is needed.`);
  const session = new Session(model, about, makeGame(about.game.id, about.game.kwargs), {
    seed,
    greedy: asked.has("greedy"),
  });
  ready();
  const page = new Page(session, about);
  await page.begin(seed);
  page.set({ playing: !prefersStillness() && !asked.has("paused") });
  await page.run();
}

start().catch(fail);
