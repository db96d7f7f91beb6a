/** Drawing on a canvas: the palette of all games (that of `rmc_envs/pixels.py`), shapes, and fitting a picture in. */

export const NIGHT = "#0d0f1a";
export const DULL = "#2e3454";
export const PALE = "#d6d8e8";
export const YELLOW = "#ffcd28";
export const CYAN = "#28e2e8";
export const WHITE = "#fafaff";

/** So much light is left of what lies outside a viewport. */
const DIMMED = 0.45;

/** Fill a rectangle. */
export function fill(context, left, top, width, height, colour) {
  context.fillStyle = colour;
  context.fillRect(left, top, width, height);
}

/** Draw a rectangle's border inwards from its edge. */
export function outline(context, left, top, width, height, thickness, colour) {
  context.strokeStyle = colour;
  context.lineWidth = thickness;
  context.lineJoin = "miter";
  context.strokeRect(left + thickness / 2, top + thickness / 2, width - thickness, height - thickness);
}

/**
 * Draw in a square of `size` units whose top left corner is `left, top`: x to the right and y down, both from -1 to 1.
 * @param {() => void} paint
 */
export function sprite(context, left, top, size, paint) {
  context.save();
  context.translate(left + size / 2, top + size / 2);
  context.scale(size / 2, size / 2);
  paint();
  context.restore();
}

/** Fill a circle about `right, down`. */
export function disc(context, radius, right, down, colour) {
  context.beginPath();
  context.arc(right, down, radius, 0, 2 * Math.PI);
  context.fillStyle = colour;
  context.fill();
}

/**
 * Fill a closed line of straight parts.
 * @param {number[][]} points [[x, y], …]
 */
export function polygon(context, points, colour) {
  context.beginPath();
  points.forEach(([x, y]) => context.lineTo(x, y));
  context.closePath();
  context.fillStyle = colour;
  context.fill();
}

/** Write a number whose digits are `height` units high, about `middle` and, by `align`, from or about `x`. */
export function writeNumber(context, number, x, middle, height, align) {
  // Digits are 0.72 of their font's size high in the common sans-serif faces.
  context.font = `600 ${height / 0.72}px system-ui, sans-serif`;
  context.textAlign = align;
  context.textBaseline = "alphabetic";
  context.fillStyle = PALE;
  context.fillText(number, x, middle + height / 2);
}

/**
 * Dim a board but for some rectangles, and outline the first of them, the viewport.
 * @param {number[]} board [left, top, width, height]
 * @param {number[][]} windows the same of what stays bright; where they reach beyond the board they are cut
 */
export function dimAround(context, board, ...windows) {
  const [left, top, width, height] = board;
  const cut = windows.map(([x, y, w, h]) => {
    const [first, second] = [Math.max(x, left), Math.max(y, top)];
    return [first, second, Math.min(x + w, left + width) - first, Math.min(y + h, top + height) - second];
  });
  context.save();
  for (const window of cut) {
    // One after the other: where two overlap, neither may be dimmed.
    context.beginPath();
    context.rect(...board);
    context.rect(...window);
    context.clip("evenodd");
  }
  fill(context, ...board, `rgba(0, 0, 0, ${1 - DIMMED})`);
  context.restore();
  outline(context, ...cut[0], 2, PALE);
}

/**
 * Let `paint` draw a picture of `size` units, as large as it fits, in the middle of `width` x `height`.
 *
 * What is `grid` units apart lies a whole number of pixels apart, unless these are too few, so that cells have sharp
 * edges and no seams between them. Around the picture nothing is left.
 * @param {[number, number]} size width and height of the picture, in its units
 * @param {() => void} paint
 */
export function fitted(context, width, height, size, grid, paint) {
  const device = Math.abs(context.getTransform().a) || 1; // pixels to the context's unit
  const perGrid = grid * Math.min(width / size[0], height / size[1]) * device;
  const scale = (perGrid >= 8 ? Math.floor(perGrid + 1e-6) : perGrid) / grid / device;
  const middled = (room, length) => Math.floor(((room - length * scale) / 2) * device) / device;
  context.save();
  context.clearRect(0, 0, width, height);
  context.translate(middled(width, size[0]), middled(height, size[1]));
  context.scale(scale, scale);
  paint();
  context.restore();
}
