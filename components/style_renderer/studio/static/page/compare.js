// Two images of one shape over each other, with a slider that moves the border between them.

import { element } from "./dom.js";

export class Compare {
  #shown = "";
  #loading = false;
  #wanted = "";

  constructor() {
    this.before = element("img", { alt: "Your image" });
    this.after = element("img", { alt: "Restyled image", className: "after", hidden: true });
    this.slider = element("input", { type: "range", min: 0, max: 100, value: 0, hidden: true });
    this.slider.setAttribute("aria-label", "Share of the view that shows your image");
    this.slider.oninput = () => this.#split();
    this.view = element("div", { className: "compare" }, this.before, this.after, this.slider);
    this.#split();
  }

  /** Shows an image, and nothing beside it yet. */
  open(url, width, height) {
    this.before.src = url;
    this.view.style.setProperty("--shape", width / height);
    this.clear();
  }

  clear() {
    this.#wanted = this.#shown = "";
    this.after.hidden = this.slider.hidden = true;
  }

  /** Shows the restyled image; of several that come faster than they load, the last one counts. */
  async show(url) {
    this.#wanted = url;
    if (this.#loading) return;
    this.#loading = true;
    while (this.#wanted && this.#wanted !== this.#shown) {
      const next = this.#wanted;
      const loaded = new Image();
      loaded.src = next;
      try {
        await loaded.decode();
      } catch {
        if (this.#wanted === next) break;
        continue;
      }
      if (this.#wanted === "") break;
      this.#shown = next;
      this.after.src = next;
      this.after.hidden = this.slider.hidden = false;
    }
    this.#loading = false;
  }

  #split() {
    this.view.style.setProperty("--split", `${this.slider.value}%`);
  }
}
