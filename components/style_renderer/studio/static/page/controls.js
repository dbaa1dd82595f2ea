// Sliders and choices: strength first, what is rarely needed last.

import { estimate } from "./api.js";
import { choice, debounce, element, slider } from "./dom.js";

const SIZES = [256, 512, 768, 1024, 2048, 4096, 8192, 16384, 32768];
const QUALITIES = {
  refined: "Refined: one pass, then the optimizer",
  finest: "Finest: the optimizer alone",
  fast: "Fast: one pass",
};
const COLORS = { style: "Of the style", luminance: "Of the content image", match: "Of the content image, in the style's strokes" };

/** Sliders run over powers: 0 is `least`, 100 is `most`. */
const toPower = (position, least, most) => least * (most / least) ** (position / 100);
const fromPower = (value, least, most) => (100 * Math.log(value / least)) / Math.log(most / least);
const WEIGHTS = { style_weight: [3, 300], tv_weight: [6e-5, 6e-3] };

export class Controls {
  constructor(settings) {
    this.settings = settings;
    this.strength = slider(
      "Strength",
      { min: 0, max: 100, value: 100 },
      (value) => `${value} %`,
      (value) => settings.set("strength", value / 100),
    );
    this.weights = {
      style_weight: this.#makeWeight("Style weight", "style_weight", (value) => value.toPrecision(2)),
      tv_weight: this.#makeWeight("Smoothness", "tv_weight", (value) => `${(value / 6e-4).toPrecision(2)} ×`),
    };
    this.colors = choice("Colors", COLORS, (value) => settings.set("colors", value));
    this.engine = choice("Quality", QUALITIES, (value) => settings.set("engine", value));
    this.size = choice("Size", Object.fromEntries(SIZES.map((size) => [size, `${size} px`])), (value) =>
      settings.set("size", Number(value)),
    );
    this.expected = element("p", { className: "hint", role: "status" });
    this.view = element(
      "div",
      { className: "group" },
      this.strength.view,
      this.colors.view,
      this.size.view,
      this.engine.view,
      this.expected,
      element(
        "details",
        {},
        element("summary", {}, "More"),
        element("div", { className: "sliders" }, this.weights.style_weight.view, this.weights.tv_weight.view),
      ),
    );
    this.askEstimate = debounce(() => this.#estimate(), 300);
    settings.onChange((what) => {
      if (what === "all") this.show();
      this.askEstimate();
    });
    this.show();
  }

  /** Whether the engine can be asked. */
  isReady = false;

  /** Shows the settings' values, which something else than these controls has changed. */
  show() {
    const { values } = this.settings;
    this.strength.set(Math.round(values.strength * 100));
    for (const [name, made] of Object.entries(this.weights)) made.set(fromPower(values[name], ...WEIGHTS[name]));
    this.colors.set(values.colors);
    this.engine.set(values.engine);
    if (!SIZES.includes(values.size) && !this.size.select.querySelector(`[value="${values.size}"]`)) {
      this.size.select.append(element("option", { value: values.size }, `${values.size} px`));
    }
    this.size.set(values.size);
  }

  #makeWeight(name, key, describe) {
    return slider(
      name,
      { min: 0, max: 100, step: 1, value: 50 },
      (position) => describe(toPower(position, ...WEIGHTS[key])),
      (position) => this.settings.set(key, toPower(position, ...WEIGHTS[key])),
    );
  }

  async #estimate() {
    const { request } = this.settings;
    if (!request || !this.isReady) {
      this.expected.textContent = "";
      return;
    }
    try {
      this.expected.textContent = describe(await estimate(request));
    } catch (error) {
      this.expected.textContent = error.message;
    }
  }
}

function describe({ seconds, memory_mb, disk_mb, disk_free_mb, tiles }) {
  const disk = disk_mb < 1024 ? "" : ` and ${describeSize(disk_mb)} of disk`;
  const expected = `Takes about ${describeTime(seconds)}, ${describeSize(memory_mb)} of memory${disk}${tiles > 1 ? `, in ${tiles} tiles` : ""}.`;
  return disk_mb > disk_free_mb ? `${expected} The disk has ${describeSize(disk_free_mb)} only.` : expected;
}

const describeSize = (megabytes) => (megabytes < 1000 ? `${megabytes} MB` : `${(megabytes / 1024).toFixed(1)} GB`);

function describeTime(seconds) {
  if (seconds < 1) return "a second";
  if (seconds < 90) return `${Math.ceil(seconds)} s`;
  return seconds < 5400 ? `${Math.ceil(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}
