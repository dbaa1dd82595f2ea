// The answer for one image: the image, its class, and the probabilities of the best classes.

import { element, formatPercent } from "./dom.js";

const TOP = 5;

/** Returns the ids of the classes, best first; of equal ones the first, as argmax has it. */
export function rank(probabilities) {
  return probabilities.map((_, id) => id).sort((one, other) => probabilities[other] - probabilities[one] || one - other);
}

export class Answer {
  constructor(labels) {
    this.labels = labels;
    this.image = element("img", { alt: "" });
    this.name = element("p", { className: "file-name" });
    this.best = element("p", { className: "best" });
    this.bars = element("ol", { className: "bars", "aria-label": "Most probable classes" });
    this.time = element("p", { className: "time" });
    this.figure = element("div", { className: "frame" }, this.image);
    const text = element("div", { className: "text", "aria-live": "polite" }, this.name, this.best, this.bars, this.time);
    this.view = element("div", { className: "answer card", hidden: true }, this.figure, text);
  }

  /** Shows a file with its answer. */
  showFile({ file, name, ...result }) {
    this.#setImage(URL.createObjectURL(file), name);
    this.name.textContent = name;
    this.#showResult(result);
  }

  /** Shows the answer for what the camera sees; its image is the video. */
  showFrame(result) {
    this.#setImage("", "");
    this.name.textContent = "Camera";
    this.#showResult(result);
  }

  hide() {
    this.#setImage("", "");
    this.view.hidden = true;
  }

  #setImage(url, name) {
    if (this.url) URL.revokeObjectURL(this.url);
    this.url = url;
    this.figure.hidden = !url;
    if (url) this.image.src = url;
    else this.image.removeAttribute("src");
    this.image.alt = name;
  }

  #showResult({ probabilities, milliseconds }) {
    const best = rank(probabilities).slice(0, TOP);
    this.best.textContent = this.labels[best[0]];
    this.bars.replaceChildren(...best.map((id) => this.#makeBar(this.labels[id], probabilities[id])));
    this.time.textContent = `${Math.round(milliseconds)} ms, from file to answer`;
    this.view.hidden = false;
  }

  #makeBar(label, probability) {
    const value = formatPercent(probability);
    return element(
      "li",
      {},
      element("span", { className: "label" }, label),
      element("span", { className: "value" }, value),
      element("meter", { min: 0, max: 1, value: probability, "aria-hidden": "true" }),
    );
  }
}
