// Masks painted over the image: one for each style, as strokes, so that the last one can be undone.

import { element } from "./dom.js";

export const COLORS = ["#00c2a8", "#ffb000", "#e6459b", "#5b8cff"];
const LONGER_SIDE = 1024;
const STEP = 0.02;

export class MaskPainter {
  brush = 0.12;
  /** Style id, or null for the eraser. */
  style = null;
  #styles = [];
  #strokes = [];
  #bases = {};
  #cursor = { x: 0.5, y: 0.5 };

  constructor(onpainted) {
    this.onpainted = onpainted;
    this.view = element("canvas", { className: "mask", hidden: true, tabIndex: 0, role: "img" });
    this.view.setAttribute("aria-label", "Painted regions. Arrow keys move the brush, the space bar paints.");
    this.view.onpointerdown = (event) => this.#begin(event);
    this.view.onpointermove = (event) => this.#move(event);
    this.view.onpointerup = this.view.onpointercancel = () => this.#end();
    this.view.onkeydown = (event) => this.#press(event);
    this.view.onblur = () => this.#draw();
  }

  /** Begins anew, for an image of this shape. */
  open(width, height) {
    const scale = LONGER_SIDE / Math.max(width, height);
    this.view.width = Math.max(1, Math.round(width * scale));
    this.view.height = Math.max(1, Math.round(height * scale));
    this.#strokes = [];
    this.#bases = {};
    this.#draw();
  }

  /** The styles that may be painted, in the order of the colors. */
  setStyles(styles) {
    this.#styles = styles;
    if (!styles.includes(this.style)) this.style = styles.at(-1) ?? null;
    this.#draw();
  }

  get canUndo() {
    return this.#strokes.length > 0;
  }

  undo() {
    this.#strokes.pop();
    this.#changed();
  }

  clear() {
    this.#strokes = [];
    this.#bases = {};
    this.#changed();
  }

  /** Gives the brush's style all that no style has. */
  fillRest() {
    this.#strokes.push({ style: this.style, fill: true, points: [] });
    this.#changed();
  }

  /** Takes over a mask that was painted before: white where the style goes. */
  async load(style, url) {
    const image = new Image();
    image.src = url;
    await image.decode();
    const base = this.#canvas();
    base.drawImage(image, 0, 0, base.canvas.width, base.canvas.height);
    const pixels = base.getImageData(0, 0, base.canvas.width, base.canvas.height);
    for (let at = 0; at < pixels.data.length; at += 4) {
      pixels.data[at + 3] = pixels.data[at];
      pixels.data.fill(255, at, at + 3);
    }
    base.putImageData(pixels, 0, 0);
    this.#bases[style] = base.canvas;
    this.#draw();
  }

  /** A PNG of a style's mask, white on black; null where nothing is painted. */
  async save(style) {
    const painted = this.#paint()[style];
    const pixels = painted.getImageData(0, 0, this.view.width, this.view.height).data;
    if (!pixels.some((value, at) => at % 4 === 3 && value > 0)) return null;
    const whole = this.#canvas();
    whole.fillRect(0, 0, this.view.width, this.view.height);
    whole.drawImage(painted.canvas, 0, 0);
    return new Promise((resolve) => whole.canvas.toBlob(resolve, "image/png"));
  }

  #canvas() {
    const canvas = element("canvas", { width: this.view.width, height: this.view.height });
    return canvas.getContext("2d", { willReadFrequently: true });
  }

  #begin(event) {
    if (event.button !== 0 || !this.#styles.length) return;
    event.preventDefault();
    this.view.setPointerCapture(event.pointerId);
    this.#strokes.push({ style: this.style, width: this.brush, points: [this.#place(event)] });
    this.#draw();
  }

  #move(event) {
    if (!this.view.hasPointerCapture(event.pointerId)) return;
    this.#strokes.at(-1).points.push(this.#place(event));
    this.#draw();
  }

  #end() {
    this.#changed();
  }

  #press(event) {
    const moves = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] };
    if (event.key === " ") {
      this.#strokes.push({ style: this.style, width: this.brush, points: [{ ...this.#cursor }] });
      this.#changed();
    } else if (moves[event.key]) {
      const [x, y] = moves[event.key];
      this.#cursor.x = Math.min(1, Math.max(0, this.#cursor.x + x));
      this.#cursor.y = Math.min(1, Math.max(0, this.#cursor.y + y));
      this.#draw();
    } else return;
    event.preventDefault();
  }

  #place(event) {
    const box = this.view.getBoundingClientRect();
    return { x: (event.clientX - box.left) / box.width, y: (event.clientY - box.top) / box.height };
  }

  #changed() {
    this.#draw();
    this.onpainted();
  }

  /** The mask of each style: opaque where it goes. */
  #paint() {
    const masks = Object.fromEntries(this.#styles.map((style) => [style, this.#canvas()]));
    for (const [style, mask] of Object.entries(masks)) if (this.#bases[style]) mask.drawImage(this.#bases[style], 0, 0);
    for (const stroke of this.#strokes) {
      if (stroke.fill) {
        const rest = this.#canvas();
        rest.fillStyle = "#fff";
        rest.fillRect(0, 0, this.view.width, this.view.height);
        rest.globalCompositeOperation = "destination-out";
        for (const mask of Object.values(masks)) rest.drawImage(mask.canvas, 0, 0);
        masks[stroke.style]?.drawImage(rest.canvas, 0, 0);
        continue;
      }
      for (const [style, mask] of Object.entries(masks)) {
        mask.globalCompositeOperation = style === stroke.style ? "source-over" : "destination-out";
        mask.strokeStyle = "#fff";
        mask.lineCap = mask.lineJoin = "round";
        mask.lineWidth = stroke.width * Math.max(this.view.width, this.view.height);
        mask.beginPath();
        const [first, ...others] = stroke.points.map(({ x, y }) => [x * this.view.width, y * this.view.height]);
        mask.moveTo(...first);
        for (const point of others.length ? others : [[first[0] + 0.1, first[1]]]) mask.lineTo(...point);
        mask.stroke();
        mask.globalCompositeOperation = "source-over";
      }
    }
    return masks;
  }

  #draw() {
    const view = this.view.getContext("2d");
    view.clearRect(0, 0, this.view.width, this.view.height);
    view.globalAlpha = 0.5;
    Object.values(this.#paint()).forEach((mask, number) => {
      mask.globalCompositeOperation = "source-in";
      mask.fillStyle = COLORS[number];
      mask.fillRect(0, 0, this.view.width, this.view.height);
      view.drawImage(mask.canvas, 0, 0);
    });
    view.globalAlpha = 1;
    if (document.activeElement === this.view) {
      const side = Math.max(this.view.width, this.view.height);
      view.lineWidth = 3;
      view.strokeStyle = "#fff";
      view.beginPath();
      view.arc(this.#cursor.x * this.view.width, this.#cursor.y * this.view.height, (this.brush * side) / 2, 0, 7);
      view.stroke();
    }
  }
}
