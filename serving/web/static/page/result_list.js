// All images that were classified, as a table.

import { button, element, formatPercent } from "./dom.js";
import { rank } from "./answer.js";

export class ResultList {
  constructor(labels, onChoose) {
    this.labels = labels;
    this.onChoose = onChoose;
    this.entries = [];
    this.body = element("tbody");
    const heads = ["Image", "Class", "Probability"].map((text) => element("th", { scope: "col" }, text));
    const head = element("thead", {}, element("tr", {}, ...heads));
    this.view = element("table", { className: "results card", hidden: true }, head, this.body);
  }

  count() {
    return this.entries.length;
  }

  isEmpty() {
    return this.entries.length === 0;
  }

  /** Adds {file, name, probabilities, thumbnail}. */
  add(entry) {
    entry.best = rank(entry.probabilities)[0];
    this.entries.push(entry);
    const choose = button("", () => this.onChoose(entry), { className: "row" });
    choose.append(makeCanvas(entry.thumbnail), makeName(entry.name));
    delete entry.thumbnail;
    entry.row = element(
      "tr",
      {},
      element("td", {}, choose),
      element("td", {}, this.labels[entry.best]),
      element("td", { className: "number" }, formatPercent(entry.probabilities[entry.best])),
    );
    this.#append(entry.row);
  }

  addFailure(name, sentence) {
    const cell = element("td", { colSpan: 2 }, sentence);
    this.#append(element("tr", { className: "failed" }, element("td", {}, makeName(name)), cell));
  }

  /** Marks the entry that is shown. */
  mark(entry) {
    for (const row of this.body.querySelectorAll("[aria-current]")) row.removeAttribute("aria-current");
    entry.row.setAttribute("aria-current", "true");
  }

  clear() {
    this.entries = [];
    this.body.replaceChildren();
    this.view.hidden = true;
  }

  #append(row) {
    this.body.append(row);
    this.view.hidden = false;
  }
}

function makeCanvas(bitmap) {
  const canvas = element("canvas", { width: bitmap.width, height: bitmap.height, "aria-hidden": "true" });
  canvas.getContext("bitmaprenderer").transferFromImageBitmap(bitmap);
  return canvas;
}

/** The name of a file, cut after a few lines; the whole is its title. */
function makeName(name) {
  return element("span", { className: "name", title: name }, name);
}
