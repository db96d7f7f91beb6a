/**
 * What all drawings of the page share: colours, canvases that are as sharp as the screen, numbers as people write them.
 */

const style = getComputedStyle(document.documentElement);
/** Of the page's type, in pixels, where the screen is not large. */
const USUAL_FONT_SIZE = 15;

/** A colour of `palette.css`, [red, green, blue]. */
function rgb(name) {
  const value = parseInt(style.getPropertyValue(`--${name}`).trim().slice(1), 16);
  return [value >> 16, (value >> 8) & 255, value & 255];
}

const NAMES = ["ground", "card", "track", "text", "quiet", "blue", "orange", "vermilion", "yellow"];
const CHANNELS = Object.fromEntries(NAMES.map((name) => [name, rgb(name)]));
const HEAT = ["negative", "zero", "positive"].map((name) => rgb(`heat-${name}`));

/** The colours by name, as a canvas takes them. */
export const COLOURS = Object.fromEntries(NAMES.map((name) => [name, faded(name, 1)]));

/** A colour with an opacity. */
export function faded(name, opacity) {
  return `rgb(${CHANNELS[name].join(" ")} / ${opacity.toFixed(3)})`;
}

/**
 * Write the colour of a number into pixels: blue for -limit and below, nearly black for 0, orange for limit and above.
 * @param {Uint8ClampedArray} pixels
 * @param {number} at the pixel's first byte
 */
export function heat(pixels, at, value, limit) {
  const share = Math.min(Math.max(value / limit || 0, -1), 1);
  mix(pixels, at, share < 0 ? HEAT[0] : HEAT[2], Math.abs(share));
}

/** The same from nearly black to a colour by name. */
export function shade(pixels, at, name, share) {
  mix(pixels, at, CHANNELS[name], Math.min(share, 1));
}

function mix(pixels, at, towards, share) {
  const zero = HEAT[1];
  for (let channel = 0; channel < 3; channel++) {
    pixels[at + channel] = zero[channel] + (towards[channel] - zero[channel]) * share;
  }
  pixels[at + 3] = 255;
}

/** A canvas that fills its box, drawn in CSS pixels and as sharp as the screen is. */
export class Sheet {
  /**
   * @param {HTMLCanvasElement} canvas
   * @param {() => void} resized called when the size has changed: what was drawn is gone
   */
  constructor(canvas, resized) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.scale = 1;
    new ResizeObserver(resized).observe(canvas);
  }

  /** Empty it; returns its size in CSS pixels. */
  clear() {
    const { canvas, context } = this;
    this.scale = parseFloat(style.fontSize) / USUAL_FONT_SIZE;
    const ratio = devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    const [across, down] = [Math.round(width * ratio), Math.round(height * ratio)];
    if (canvas.width !== across || canvas.height !== down) [canvas.width, canvas.height] = [across, down];
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    return { width, height };
  }

  /** Write a line about `middle`, in system type; its size is that of a page with the usual size of type. */
  text(words, x, middle, { size = 12, colour = "quiet", align = "left", weight = 400, room } = {}) {
    const { context } = this;
    context.font = `${weight} ${size * this.scale}px system-ui, sans-serif`;
    context.textAlign = align;
    context.textBaseline = "middle";
    context.fillStyle = COLOURS[colour];
    context.fillText(words, x, middle + size * 0.04, room);
  }
}

/** A picture made of single numbers, one pixel each, to be drawn at any size with sharp edges. */
export class Pixels {
  constructor() {
    this.canvas = document.createElement("canvas");
    this.context = this.canvas.getContext("2d");
  }

  /**
   * @param {number} width
   * @param {number} height
   * @param {(pixels: Uint8ClampedArray, at: number, x: number, y: number) => void} paint writes one pixel's four bytes
   */
  fill(width, height, paint) {
    const { canvas, context } = this;
    if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
    const image = context.createImageData(width, height);
    for (let y = 0, at = 0; y < height; y++) {
      for (let x = 0; x < width; x++, at += 4) paint(image.data, at, x, y);
    }
    context.putImageData(image, 0, 0);
  }

  /** Draw a part of it. */
  draw(context, [fromX, fromY, fromWidth, fromHeight], [x, y, width, height]) {
    context.imageSmoothingEnabled = false;
    context.drawImage(this.canvas, fromX, fromY, fromWidth, fromHeight, x, y, width, height);
  }
}

const FORMATS = [0, 1, 2].map((digits) =>
  Intl.NumberFormat("en", { minimumFractionDigits: digits, maximumFractionDigits: digits }),
);

/** A number as people write it: no needless digits, and a true minus sign. */
export function number(value, { signed = false } = {}) {
  const size = Math.abs(value);
  const whole = Math.abs(value - Math.round(value)) < 1e-6;
  const digits = whole ? 0 : size >= 100 ? 1 : 2;
  const words = FORMATS[digits].format(size);
  if (!/[1-9]/.test(words)) return "0";
  return (value < 0 ? "\u2212" : signed ? "+" : "") + words;
}

/** A share as whole percents. */
export function percent(share) {
  return `${Math.round(100 * share)}\u00a0%`;
}

/** Whether the visitor asked for less motion. */
export function prefersStillness() {
  return matchMedia("(prefers-reduced-motion: reduce)").matches;
}
