// All jobs, the newest first.

import { jobDownload, jobView, removeJob } from "./api.js";
import { button, element } from "./dom.js";
import { describe } from "./stage.js";

export class History {
  #cards = new Map();

  constructor(actions) {
    this.actions = actions;
    this.list = element("ol", { className: "jobs" });
    this.empty = element("p", { className: "hint" }, "What you render is kept here, with all its settings.");
    this.view = [element("h2", { id: "history-title" }, "History"), this.empty, this.list];
  }

  setJobs(jobs) {
    this.list.replaceChildren();
    this.#cards.clear();
    for (const job of jobs) this.show(job);
    this.#update();
  }

  show(job) {
    let card = this.#cards.get(job.id);
    if (!card) {
      card = this.#makeCard(job);
      this.#cards.set(job.id, card);
      this.list.prepend(card.view);
    }
    card.job = job;
    // A small image at every iteration would be more work than it is worth.
    if (job.version && (job.state !== "running" || !card.image.src)) card.image.src = jobView(job, true);
    card.text.textContent = describe(job);
    card.remove.disabled = job.state === "running";
    card.download.hidden = !job.version;
    card.download.href = jobDownload(job);
    this.#update();
  }

  drop(id) {
    this.#cards.get(id)?.view.remove();
    this.#cards.delete(id);
    this.#update();
  }

  select(id) {
    for (const [name, card] of this.#cards) card.view.toggleAttribute("data-shown", name === id);
  }

  #update() {
    this.empty.hidden = this.#cards.size > 0;
  }

  #makeCard(job) {
    const card = { job, image: element("img", { alt: "", loading: "lazy" }), text: element("p", { className: "hint" }) };
    const shown = button("", () => this.actions.show(card.job), { className: "thumbnail" });
    shown.setAttribute("aria-label", `Show ${job.title}, ${job.created}`);
    shown.append(card.image);
    card.download = element("a", { className: "button", download: "" }, "Download");
    card.remove = button("Delete", () => removeJob(job.id).catch((error) => this.actions.complain(error.message)));
    const load = button("Use settings", () => this.actions.load(card.job));
    const name = element("p", { className: "name" }, job.title);
    card.view = element("li", { className: "job" }, shown, name, card.text, element("div", { className: "buttons" }, load, card.download, card.remove));
    return card;
  }
}
