// The styles as thumbnails of the user's own image, and how much of each is in the blend.

import { button, element } from "./dom.js";
import { drawOver } from "./compare.js";

/** Returns a style's id as words. */
export function nameStyle(id) {
  const words = id.replaceAll("-", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}

export class StyleChoice {
  /** `onChange` is called when the weights are others. */
  constructor(styles, onChange) {
    this.styles = styles;
    this.onChange = onChange;
    this.weights = styles.map((_, index) => (index === 0 ? 1 : 0));
    this.blends = element("input", { type: "checkbox", id: "blends" });
    this.blends.onchange = () => this.#keepStrongest();
    this.tiles = styles.map((id, index) => this.#makeTile(id, index));
    this.sliders = element("div", { className: "sliders" });
    const grid = element("div", { className: "styles", role: "group", "aria-label": "Styles" }, ...this.tiles);
    const blend = element("label", { className: "check", for: "blends" }, this.blends, "Blend several styles");
    this.view = element("div", { className: "style-choice" }, grid, blend, this.sliders);
    this.#mark();
  }

  /** Returns the weights of all styles, whose sum is 1. */
  read() {
    const sum = this.weights.reduce((before, weight) => before + weight, 0);
    return this.weights.map((weight) => weight / sum);
  }

  /** Returns the ids of the styles in the blend, for the name of a file. */
  nameFile() {
    return this.styles.filter((_, index) => this.weights[index] > 0).join("-");
  }

  /** Shows what a style makes of the image. */
  showThumbnail(index, bitmap) {
    drawOver(this.tiles[index].querySelector("canvas"), bitmap);
  }

  #makeTile(id, index) {
    const tile = button("", () => this.#choose(index), { className: "style" });
    tile.append(element("canvas", { width: 1, height: 1, "aria-hidden": "true" }), element("span", {}, nameStyle(id)));
    return tile;
  }

  #choose(index) {
    if (!this.blends.checked) this.weights.fill(0);
    const others = this.weights.some((weight, other) => weight > 0 && other !== index);
    this.weights[index] = this.weights[index] > 0 && others ? 0 : 1;
    this.#mark();
    this.onChange();
  }

  #keepStrongest() {
    if (!this.blends.checked) {
      const strongest = this.weights.indexOf(Math.max(...this.weights));
      this.weights = this.weights.map((_, index) => (index === strongest ? 1 : 0));
      this.onChange();
    }
    this.#mark();
  }

  #mark() {
    this.tiles.forEach((tile, index) => tile.setAttribute("aria-pressed", this.weights[index] > 0));
    const chosen = this.styles.flatMap((id, index) => (this.weights[index] > 0 ? [[id, index]] : []));
    this.sliders.hidden = !this.blends.checked || chosen.length < 2;
    this.sliders.replaceChildren(...chosen.map(([id, index]) => this.#makeSlider(id, index)));
  }

  #makeSlider(id, index) {
    const slider = element("input", { type: "range", min: 1, max: 100, value: 100 * this.weights[index] });
    slider.oninput = () => {
      this.weights[index] = slider.value / 100;
      this.onChange();
    };
    return element("label", { className: "slider" }, nameStyle(id), slider);
  }
}
