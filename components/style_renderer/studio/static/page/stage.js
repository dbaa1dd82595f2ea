// The image: before and after, the masks over it, and how far the job is that is shown.

import { jobDownload } from "./api.js";
import { Compare } from "./compare.js";
import { button, element, fileButton } from "./dom.js";

const ENDED = { done: "Done", stopped: "Stopped", failed: "Failed", queued: "Waiting for its turn" };

export class Stage {
  constructor(painter, actions) {
    this.compare = new Compare();
    this.painter = painter;
    this.status = element("p", { className: "status", role: "status" });
    this.progress = element("progress", { max: 1, value: 0, hidden: true });
    this.progress.setAttribute("aria-label", "Share of the job that is done");
    this.start = button("Render", actions.start, { className: "primary" });
    this.stop = button("Stop", actions.stop, { hidden: true });
    this.resume = button("Go on", actions.resume, { hidden: true, className: "primary" });
    this.download = element("a", { className: "button", hidden: true, download: "" }, "Download");
    const another = fileButton("Another image", actions.open);
    this.frame = element("div", { className: "frame", hidden: true }, this.compare.view);
    this.compare.view.append(painter.view);
    this.bar = element(
      "div",
      { className: "bar", hidden: true },
      this.progress,
      this.status,
      element("div", { className: "buttons" }, this.start, this.stop, this.resume, this.download, another),
    );
    this.drop = element(
      "div",
      { className: "drop" },
      element("p", { className: "invitation" }, "Drop an image here"),
      fileButton("Choose an image", actions.open, { className: "primary" }),
      element("p", { className: "hint" }, "Or paste one. Images stay on the machine that runs the studio."),
    );
    this.problem = element("p", { className: "problem", role: "alert", hidden: true });
    this.view = element("div", { className: "stage" }, this.problem, this.drop, this.frame, this.bar);
    this.#acceptFiles(actions.open);
  }

  open(url, image) {
    this.drop.hidden = true;
    this.frame.hidden = this.bar.hidden = false;
    this.compare.open(url, image.width, image.height);
    this.painter.open(image.width, image.height);
  }

  complain(message = "") {
    this.problem.textContent = message;
    this.problem.hidden = !message;
  }

  /** Shows a preview, or nothing yet. */
  showIdle(text) {
    this.status.textContent = text;
    this.progress.hidden = this.stop.hidden = this.resume.hidden = this.download.hidden = true;
    this.start.hidden = false;
  }

  showJob(job, url) {
    if (job.version) this.compare.show(url);
    const active = job.state === "running" || job.state === "queued";
    this.start.hidden = active;
    this.stop.hidden = !active;
    this.resume.hidden = job.state !== "stopped" && job.state !== "failed";
    this.start.className = this.resume.hidden ? "primary" : "";
    this.progress.hidden = !active;
    this.progress.value = job.progress?.done ?? 0;
    this.download.hidden = !job.version;
    this.download.href = jobDownload(job);
    this.status.textContent = describe(job);
  }

  #acceptFiles(open) {
    document.ondragover = (event) => {
      event.preventDefault();
      document.body.classList.add("dragged-over");
    };
    document.ondragleave = (event) => event.relatedTarget ?? document.body.classList.remove("dragged-over");
    document.ondrop = (event) => {
      event.preventDefault();
      document.body.classList.remove("dragged-over");
      if (event.dataTransfer.files.length) open([...event.dataTransfer.files]);
    };
    document.onpaste = (event) => event.clipboardData.files.length && open([...event.clipboardData.files]);
  }
}

export function describe(job) {
  if (job.state !== "running") return `${ENDED[job.state]}${job.message ? `: ${job.message}` : ""}`;
  if (!job.progress) return "Starting …";
  const { place, controls, done } = job.progress;
  if (job.request.engine === "fast") return `One pass, ${Math.round(done * 100)} %, strength ${Math.round(controls.strength * 100)} %`;
  if (!place.size) return "One pass done; the optimizer begins …";
  const steps = `${place.size} px, iteration ${place.iteration} of ${place.iteration + place.left}`;
  return `${steps}, strength ${Math.round(controls.strength * 100)} %`;
}
