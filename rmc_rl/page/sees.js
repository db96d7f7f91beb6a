/** An observation as the agent gets it: pictures, or bars of single numbers. */

import { COLOURS, number, Pixels } from "./drawing.js";

export class Sees {
  /**
   * @param {Sheet} sheet
   * @param {{shape: number[], dtype: string}} observation
   * @param {string} gameId
   */
  constructor(sheet, { shape, dtype }, gameId) {
    this.sheet = sheet;
    this.shape = shape;
    this.pictures = dtype === "uint8" && shape.length === 3 ? picturesOf(shape[2], gameId) : [];
    this.pixels = new Pixels();
  }

  /** @param {TypedArray} observation */
  draw(observation) {
    const { width, height } = this.sheet.clear();
    if (this.pictures.length === 0) this.#drawNumbers(observation, width, height);
    else this.#drawPictures(observation, width, height);
  }

  #drawPictures(observation, width, height) {
    const { context } = this.sheet;
    const [rows, columns, channels] = this.shape;
    const across = Math.min(this.pictures.length, 3);
    const down = Math.ceil(this.pictures.length / across);
    const gap = 8;
    const label = this.pictures.length > 1 ? 16 : 0;
    const cell = Math.min(
      (width - gap * (across - 1)) / across / columns,
      (height - (gap + label) * down + gap) / down / rows,
    );
    if (cell <= 0) return;
    const size = cell >= 4 ? Math.floor(cell) : cell;
    const [pictureWidth, pictureHeight] = [columns * size, rows * size];
    const left = (width - across * pictureWidth - (across - 1) * gap) / 2;
    const top = (height - down * (pictureHeight + label) - (down - 1) * gap) / 2;
    this.pictures.forEach(({ name, from, grey }, index) => {
      const x = Math.round(left + (index % across) * (pictureWidth + gap));
      const y = Math.round(top + Math.floor(index / across) * (pictureHeight + label + gap)) + label;
      this.pixels.fill(columns, rows, (pixels, at, column, row) => {
        const first = (row * columns + column) * channels + from;
        for (let channel = 0; channel < 3; channel++) pixels[at + channel] = observation[first + (grey ? 0 : channel)];
        pixels[at + 3] = 255;
      });
      if (name)
        this.sheet.text(name, x + pictureWidth / 2, y - label / 2, {
          size: 11,
          align: "center",
          room: pictureWidth + gap,
        });
      this.pixels.draw(context, [0, 0, columns, rows], [x, y, pictureWidth, pictureHeight]);
    });
  }

  #drawNumbers(values, width, height) {
    const { context } = this.sheet;
    const label = values.length <= 12 ? 18 : 0;
    const limit = Math.max(1, ...Array.from(values, Math.abs));
    const hasLosses = values.some((value) => value < 0);
    const zero = hasLosses ? (height - label) / 2 : height - label - 1;
    const room = hasLosses ? zero : zero - 14;
    const pitch = Math.min(width / values.length, 64);
    const left = (width - pitch * values.length) / 2;
    context.fillStyle = COLOURS.track;
    context.fillRect(left, zero, pitch * values.length, 1);
    values.forEach((value, index) => {
      const tall = (Math.abs(value) / limit) * room;
      const x = left + (index + 0.15) * pitch;
      context.fillStyle = value < 0 ? COLOURS.vermilion : COLOURS.blue;
      context.fillRect(x, value < 0 ? zero : zero - tall, 0.7 * pitch, Math.max(tall, value === 0 ? 0 : 1));
      if (label > 0)
        this.sheet.text(`${index}`, left + (index + 0.5) * pitch, height - 7, { size: 11, align: "center" });
      if (label > 0 && value > 0)
        this.sheet.text(number(value), x + 0.35 * pitch, zero - tall - 8, {
          size: 11,
          align: "center",
          colour: "text",
        });
    });
  }
}

/** Which channels make a picture: three are colours; BoxWorld's window has the colour of the held key as three more. */
function picturesOf(channels, gameId) {
  if (channels === 3) return [{ name: "", from: 0, grey: false }];
  if (gameId.startsWith("rmc/BoxWorld") && channels === 6) {
    return [
      { name: "window", from: 0, grey: false },
      { name: "key held", from: 3, grey: false },
    ];
  }
  return Array.from({ length: channels }, (_, channel) => ({ name: `${channel + 1}`, from: channel, grey: true }));
}
