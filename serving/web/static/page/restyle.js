// Restyling an image: styles, blend, strength, colors and size, before and after, download.

import { Compare } from "./compare.js";
import { button, element, save } from "./dom.js";
import { explain } from "./failures.js";
import { acceptDrops, makeFileButtons } from "./files.js";
import { StyleChoice } from "./style_choice.js";

/** The panel "Restyle". */
export class Restyle {
  constructor(panel, engine, { styles, files }) {
    this.panel = panel;
    this.engine = engine;
    this.sizes = files.map(({ size }) => size);
    this.compare = new Compare();
    this.choice = new StyleChoice(styles, () => this.#request());
    this.strength = element("input", { type: "range", min: 0, max: 100, value: 100 });
    this.colors = element("input", { type: "checkbox" });
    this.size = element("select", {}, ...this.sizes.map((size) => element("option", { value: size }, `${size} pixels`)));
    this.status = element("p", { className: "status", role: "status" });
    this.strength.oninput = this.colors.onchange = this.size.onchange = () => this.#request();
  }

  /** Builds the panel. */
  show() {
    const onFiles = (files) => this.#open(files[0]);
    this.drop = element(
      "div",
      { className: "drop" },
      element("p", { className: "invitation" }, "Drop an image here"),
      element("div", { className: "buttons" }, ...makeFileButtons(onFiles, { multiple: false })),
    );
    acceptDrops(this.panel, onFiles);
    const controls = element(
      "div",
      { className: "controls" },
      element("label", { className: "slider" }, "Strength", this.strength),
      element("label", { className: "check" }, this.colors, "Keep the colors of the image"),
      element("label", { className: "choice" }, "Longer side", this.size),
      button("Download", () => this.#download(), { className: "primary" }),
    );
    const settings = element("div", { className: "settings" }, this.choice.view, controls);
    const stage = element("div", { className: "stage" }, this.compare.view, this.status);
    this.work = element("div", { className: "restyle card", hidden: true }, stage, settings);
    this.panel.append(element("h2", {}, "Restyle an image"), this.drop, this.work);
    this.notice = element("p", { className: "notice", role: "alert", hidden: true });
    this.drop.after(this.notice);
  }

  async #open(chosen) {
    if (!chosen) return;
    this.notice.hidden = true;
    try {
      await this.engine.call("openForRestyling", chosen.file);
    } catch (error) {
      this.notice.textContent = `${chosen.name}: ${explain(error)}`;
      this.notice.hidden = false;
      return;
    }
    this.name = chosen.name;
    this.drop.classList.add("compact");
    this.work.hidden = false;
    await this.#request();
    await this.#drawThumbnails(chosen).catch((error) => (this.status.textContent = explain(error)));
  }

  /** Restyles with the settings as they are. While one is at work only the latest request waits. */
  async #request() {
    if (!this.name) return;
    this.isAsked = true;
    if (this.isBusy) return;
    this.isBusy = true;
    try {
      while (this.isAsked) {
        this.isAsked = false;
        await this.#restyle();
      }
    } catch (error) {
      this.status.textContent = explain(error);
    } finally {
      this.isBusy = false;
    }
  }

  async #restyle() {
    const started = performance.now();
    this.status.textContent = "Restyling …";
    const settings = {
      size: Number(this.size.value),
      weights: this.choice.read(),
      strength: this.strength.value / 100,
      keepsColors: this.colors.checked,
    };
    const images = await this.engine.call("restyle", settings);
    const { width, height } = images.after;
    this.compare.show(images);
    const by = images.usesGpu ? ", by WebGPU" : "";
    this.status.textContent = `${width} × ${height} pixels in ${Math.round(performance.now() - started)} ms${by}`;
  }

  /** Each style's own thumbnail of this image, one after the other, unless another image is opened meanwhile. */
  async #drawThumbnails(chosen) {
    const { styles } = this.choice;
    this.shown = chosen;
    for (let index = 0; index < styles.length && this.shown === chosen; index++) {
      while (this.isBusy) await new Promise((resolve) => setTimeout(resolve, 20));
      const weights = styles.map((_, other) => (other === index ? 1 : 0));
      const settings = { size: this.sizes[0], weights, strength: 1, keepsColors: false };
      const { before, after } = await this.engine.call("restyle", settings);
      before.close();
      this.choice.showThumbnail(index, await shrink(after));
    }
  }

  async #download() {
    const stem = this.name.split("/").pop().replace(/\.[^.]*$/, "");
    save(await this.compare.save(), `${stem}-${this.choice.nameFile()}.jpg`);
  }
}

/** Returns the middle of a bitmap as a small square, and frees the bitmap. */
async function shrink(bitmap) {
  const side = Math.min(bitmap.width, bitmap.height);
  const [left, top] = [(bitmap.width - side) >> 1, (bitmap.height - side) >> 1];
  const small = await createImageBitmap(bitmap, left, top, side, side, { resizeWidth: 128, resizeHeight: 128 });
  bitmap.close();
  return small;
}
