// Where the styles go: everywhere, or each where it is painted.

import { addImage } from "./api.js";
import { button, choice, element, slider } from "./dom.js";
import { COLORS } from "./mask_painter.js";

export class Regions {
  constructor(settings, painter, describeStyle, complain) {
    Object.assign(this, { settings, painter, describeStyle, complain });
    this.where = choice(
      "Where",
      { everywhere: "Everywhere", painted: "Where I paint" },
      (value) => {
        settings.painted = this.isShown.checked = value === "painted";
        settings.changed("styles");
      },
    );
    this.isShown = element("input", { type: "checkbox", onchange: () => this.show(this.isShown.checked) });
    this.brushes = element("div", { className: "brushes", role: "radiogroup" });
    this.brushes.setAttribute("aria-label", "Brush");
    this.width = slider("Brush size", { min: 2, max: 40, value: 12 }, (value) => `${value} %`, (value) => (painter.brush = value / 100));
    this.undo = button("Undo", () => painter.undo());
    this.tools = element(
      "div",
      { className: "tools", hidden: true },
      element("label", { className: "check" }, this.isShown, "Show and paint the regions"),
      this.brushes,
      this.width.view,
      element(
        "div",
        { className: "buttons" },
        this.undo,
        button("Fill the rest", () => painter.fillRest()),
        button("Clear", () => painter.clear()),
      ),
    );
    this.view = element("div", { className: "group" }, this.where.view, this.tools);
    painter.onpainted = () => (this.uploaded = this.uploaded.then(() => this.#upload()));
    settings.onChange((what) => (what === "styles" || what === "all") && this.#update());
    this.#update();
  }

  /** Shows the regions over the image, or the image alone. */
  show(isShown) {
    this.isShown.checked = isShown;
    this.painter.view.hidden = !this.settings.painted || !isShown;
  }

  /** Done when the server has all that was painted. */
  uploaded = Promise.resolve();

  /** Sends the masks to the server, which keeps them by their content. */
  async #upload() {
    this.undo.disabled = !this.painter.canUndo;
    const masks = {};
    try {
      for (const { id } of this.settings.styles) {
        const mask = await this.painter.save(id);
        if (mask) masks[id] = (await addImage(mask, "mask")).id;
      }
    } catch (error) {
      this.complain(error.message);
      return;
    }
    this.settings.masks = masks;
    this.settings.changed("masks");
  }

  #update() {
    const { painted, styles } = this.settings;
    this.where.set(painted ? "painted" : "everywhere");
    this.tools.hidden = !painted;
    this.show(this.isShown.checked);
    this.painter.setStyles(styles.map(({ id }) => id));
    this.undo.disabled = !this.painter.canUndo;
    const options = [...styles.map(({ id }, number) => [id, this.describeStyle(id), COLORS[number]]), [null, "Eraser", ""]];
    this.brushes.replaceChildren(...options.map((option) => this.#makeBrush(...option)));
  }

  #makeBrush(id, name, color) {
    const input = element("input", { type: "radio", name: "brush", checked: this.painter.style === id });
    input.onchange = () => (this.painter.style = id);
    const swatch = element("span", { className: "swatch" });
    swatch.style.background = color;
    return element("label", { className: "check" }, input, swatch, element("span", {}, name));
  }
}
