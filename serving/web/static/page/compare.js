// Two images of one size over each other, with a slider that moves the border between them.

import { element } from "./dom.js";

export class Compare {
  constructor() {
    this.before = element("canvas", { role: "img", "aria-label": "Original" });
    this.after = element("canvas", { role: "img", "aria-label": "Restyled image", className: "after" });
    this.slider = element("input", { type: "range", min: 0, max: 100, value: 50, "aria-label": "Original and restyled" });
    this.slider.oninput = () => this.#split();
    this.view = element("div", { className: "compare" }, this.before, this.after, this.slider);
    this.#split();
  }

  /** Shows two ImageBitmaps, which it takes over. */
  show({ before, after }) {
    drawOver(this.before, before);
    drawOver(this.after, after);
  }

  /** Returns the image at the right as a JPEG. */
  save() {
    return new Promise((resolve) => this.after.toBlob(resolve, "image/jpeg", 0.95));
  }

  #split() {
    this.view.style.setProperty("--split", `${this.slider.value}%`);
  }
}

/** Draws a bitmap on a canvas of the bitmap's size, and frees it. */
export function drawOver(canvas, bitmap) {
  canvas.width = bitmap.width;
  canvas.height = bitmap.height;
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
  bitmap.close();
}
