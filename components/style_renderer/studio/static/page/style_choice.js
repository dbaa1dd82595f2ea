// The styles as thumbnails, the weights of a blend, and the form for a style of one's own.

import { addStyle, styleView } from "./api.js";
import { button, element, slider } from "./dom.js";
import { MOST_STYLES } from "./settings.js";

export class StyleChoice {
  #buttons = new Map();

  constructor(settings) {
    this.settings = settings;
    this.grid = element("div", { className: "styles", role: "group" });
    this.grid.setAttribute("aria-label", `Styles; choose one, or up to ${MOST_STYLES} for a blend`);
    this.weights = element("div", { className: "sliders" });
    this.credit = element("p", { className: "hint" });
    this.view = element(
      "div",
      { className: "group" },
      element("h2", {}, "Style"),
      this.grid,
      this.credit,
      this.weights,
      this.#makeForm(),
    );
    settings.onChange((what) => (what === "styles" || what === "masks" || what === "all") && this.#update());
  }

  setStyles(styles) {
    this.known = new Map(styles.map((style) => [style.id, style]));
    for (const style of styles) {
      if (this.#buttons.has(style.id)) continue;
      const image = element("img", { src: styleView(style.id), alt: "", loading: "lazy", width: 96, height: 96 });
      const made = button("", () => this.settings.toggleStyle(style.id), { className: "style" });
      made.append(image, element("span", {}, style.title));
      this.#buttons.set(style.id, made);
      this.grid.append(made);
    }
    this.#update();
  }

  #update() {
    const chosen = this.settings.styles;
    for (const [id, made] of this.#buttons) made.setAttribute("aria-pressed", chosen.some((style) => style.id === id));
    const credits = chosen.map(({ id }) => this.known?.get(id)).filter(Boolean);
    this.credit.textContent = credits
      .map(({ title, artist, licence }) => [title, artist, licence].filter(Boolean).join(", "))
      .join(" · ");
    const blends = chosen.length > 1 && !this.settings.painted;
    this.weights.replaceChildren(...(blends ? chosen.map((style) => this.#makeWeight(style)) : []));
  }

  #makeWeight(style) {
    const name = this.known?.get(style.id)?.title ?? style.id;
    const made = slider(
      name,
      { min: 0, max: 100, value: style.weight * 50, id: `weight-${style.id}` }, // titles may be equal
      (value) => `${value} %`,
      (value) => {
        style.weight = value / 50;
        this.settings.changed("values");
      },
    );
    return made.view;
  }

  #makeForm() {
    const file = element("input", { type: "file", accept: "image/*", required: true, id: "own-file" });
    const fields = ["Title", "License", "Artist"].map((name) => {
      const id = `own-${name.toLowerCase()}`;
      const input = element("input", { type: "text", id, required: name !== "Artist", maxLength: 200 });
      return { input, view: element("div", { className: "field" }, element("label", { htmlFor: id }, name), input) };
    });
    const told = element("p", { role: "status", className: "hint" });
    const form = element(
      "form",
      { className: "form" },
      element("div", { className: "field" }, element("label", { htmlFor: "own-file" }, "Image"), file),
      ...fields.map((field) => field.view),
      element("button", { type: "submit" }, "Add to my styles"),
      told,
    );
    form.onsubmit = async (event) => {
      event.preventDefault();
      const [title, licence, artist] = fields.map((field) => field.input.value);
      told.textContent = "Adding …";
      try {
        const { id } = await addStyle(file.files[0], { title, licence, artist });
        form.reset();
        told.textContent = `${title} is in your styles.`;
        this.settings.styles = [{ id, weight: 1 }];
        this.settings.changed("styles");
      } catch (error) {
        told.textContent = error.message;
      }
    };
    return element("details", {}, element("summary", {}, "Add a style of your own"), form);
  }
}
