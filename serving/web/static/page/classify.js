// Classifying images, folders and the camera.

import { Camera } from "./camera.js";
import { button, element, save } from "./dom.js";
import { explain } from "./failures.js";
import { acceptDrops, makeFileButtons } from "./files.js";
import { Answer } from "./answer.js";
import { ResultList } from "./result_list.js";

/** The panel "Classify". */
export class Classify {
  constructor(panel, engine, model) {
    this.panel = panel;
    this.engine = engine;
    this.model = model;
    this.queue = [];
    this.answer = new Answer(model.labels);
    this.list = new ResultList(model.labels, (entry) => this.#showEntry(entry));
    this.camera = new Camera((bitmap) => this.#classifyFrame(bitmap), (text) => this.#say(text));
    this.status = element("p", { className: "status", role: "status" });
    this.stop = button("Stop", () => this.#clearQueue(), { hidden: true });
    this.download = button("Download as CSV", () => this.#download(), { hidden: true });
    this.clear = button("Clear", () => this.#clear(), { hidden: true });
  }

  /** Builds the panel. */
  show() {
    const onFiles = (files) => this.#add(files);
    this.drop = element(
      "div",
      { className: "drop" },
      element("p", { className: "invitation" }, "Drop images or a folder here"),
      element("div", { className: "buttons" }, ...makeFileButtons(onFiles), this.camera.button),
    );
    acceptDrops(this.panel, onFiles);
    const actions = element("div", { className: "buttons" }, this.stop, this.download, this.clear);
    this.panel.append(
      element("h2", {}, "Classify images"),
      this.drop,
      this.camera.view,
      this.answer.view,
      element("div", { className: "progress-line" }, this.status, actions),
      this.list.view,
    );
  }

  #say(text) {
    this.status.textContent = text;
  }

  async #add(files) {
    if (!files.length) return this.#say("There are no files in this folder.");
    this.camera.stop();
    this.queue.push(...files);
    if (this.isBusy) return;
    this.isBusy = true;
    this.stop.hidden = false;
    const counts = { done: 0, failed: 0, first: true };
    while (this.queue.length) await this.#classifyNext(counts);
    this.isBusy = false;
    this.stop.hidden = true;
    this.download.hidden = this.list.isEmpty();
    this.clear.hidden = false;
    const failed = counts.failed ? `, ${counts.failed} could not be read` : "";
    this.#say(`${this.list.count()} images classified${failed}.`.replace(/^1 images/, "1 image"));
  }

  async #classifyNext(counts) {
    const { file, name } = this.queue.shift();
    this.#say(`Classifying ${name} …`);
    try {
      const result = await this.engine.call("classify", file);
      const entry = { file, name, ...result };
      this.list.add(entry);
      if (counts.first) this.#showEntry(entry);
      counts.first = false;
      counts.done += 1;
    } catch (error) {
      counts.failed += 1;
      this.list.addFailure(name, explain(error));
    }
  }

  #showEntry(entry) {
    this.camera.stop();
    this.answer.showFile(entry);
    this.drop.classList.add("compact");
    this.list.mark(entry);
  }

  async #classifyFrame(bitmap) {
    const result = await this.engine.call("classify", bitmap, { transfer: [bitmap] });
    this.answer.showFrame(result);
  }

  #clearQueue() {
    this.queue.length = 0;
  }

  #clear() {
    this.#clearQueue();
    this.list.clear();
    this.answer.hide();
    this.drop.classList.remove("compact");
    this.download.hidden = this.clear.hidden = true;
    this.#say("");
  }

  #download() {
    const quote = (text) => `"${text.replaceAll('"', '""')}"`;
    const rows = this.list.entries.map(({ name, best, probabilities }) =>
      [quote(name), quote(this.model.labels[best]), probabilities[best].toFixed(6)].join(","),
    );
    save(new Blob([["image,label,probability", ...rows, ""].join("\r\n")], { type: "text/csv" }), "predictions.csv");
  }
}
