// Puts the page together: settings on one side, jobs as the server tells them on the other.

import * as api from "./api.js";
import { Controls } from "./controls.js";
import { debounce } from "./dom.js";
import { History } from "./history.js";
import { MaskPainter } from "./mask_painter.js";
import { Presets } from "./presets.js";
import { Regions } from "./regions.js";
import { Settings } from "./settings.js";
import { Stage } from "./stage.js";
import { StyleChoice } from "./style_choice.js";

const MOVE_MS = 1000;
const MOVABLE = ["strength", "style_weight", "tv_weight"];

const settings = new Settings();
const jobs = new Map();
let shown = null; // id of the job on the stage; null: the preview
let lastMove = -Infinity;
let ready = false;
let previewing = false;
let previewAgain = false;

const painter = new MaskPainter(() => {});
const stage = new Stage(painter, { open: openFiles, start, stop: () => act(api.stop(shown)), resume: () => act(api.resume(shown)) });
const complain = (message) => stage.complain(message);
const choice = new StyleChoice(settings);
const controls = new Controls(settings);
const regions = new Regions(settings, painter, (id) => choice.known?.get(id)?.title ?? id, complain);
const presets = new Presets(settings, complain);
const history = new History({ show: showJob, load: loadJob, complain });

document.querySelector("#stage").append(stage.view);
document.querySelector("#controls").append(choice.view, controls.view, regions.view, presets.view);
document.querySelector("#history").append(...history.view);

const askPreview = debounce(preview, 120);
const sendControls = debounce(() => shown && act(api.control(shown, settings.controls)), 60);
let before = JSON.stringify(settings.values);

settings.onChange((what) => {
  const moved = JSON.stringify(settings.values);
  const others = (values) => JSON.stringify({ ...JSON.parse(values), strength: 0, style_weight: 0, tv_weight: 0 });
  const isMove = what === "values" && moved !== before && others(moved) === others(before);
  before = moved;
  const job = jobs.get(shown);
  if (isMove && job && ["running", "queued", "stopped"].includes(job.state)) {
    lastMove = performance.now();
    sendControls();
    return;
  }
  if (what === "all" && shown) return;
  leaveJob();
  askPreview();
});

api.follow(take, () => tellEngine("The studio does not answer. Is `atelier studio` still running?"));

function take(event) {
  if (event.event === "state") {
    choice.setStyles(event.styles);
    presets.setPresets(event.presets);
    jobs.clear();
    for (const job of event.jobs) jobs.set(job.id, job);
    history.setJobs(event.jobs);
    if (!settings.image && event.jobs.length) loadJob(event.jobs.findLast((job) => job.state === "running") ?? event.jobs.at(-1));
    takeReady(event.ready, event.problem);
    document.documentElement.dataset.ready = "";
  } else if (event.event === "job") {
    jobs.set(event.job.id, event.job);
    history.show(event.job);
  } else if (event.event === "removed") {
    jobs.delete(event.id);
    history.drop(event.id);
    if (shown === event.id) leaveJob();
  } else if (event.event === "styles") choice.setStyles(event.styles);
  else if (event.event === "presets") presets.setPresets(event.presets);
  else if (event.event === "engine") takeReady(event.ready, event.problem);
  refresh();
}

function takeReady(now, problem) {
  tellEngine(now ? "Ready" : problem || "Loading the engine …");
  const isNew = now && !ready;
  ready = controls.isReady = now;
  if (isNew) {
    askPreview();
    controls.askEstimate();
  }
}

function tellEngine(text) {
  document.querySelector("#engine").textContent = text;
}

/** Shows the job on the stage as it is now; another page may have moved its controls. */
function refresh() {
  const job = jobs.get(shown);
  if (!job) return;
  stage.showJob(job, api.jobView(job));
  const told = MOVABLE.filter((name) => job.request[name] !== null && job.request[name] !== settings.values[name]);
  // What was moved here just now is on its way, and newer than what the server tells.
  if (told.length && performance.now() - lastMove > MOVE_MS) {
    for (const name of told) settings.values[name] = job.request[name];
    before = JSON.stringify(settings.values);
    controls.show();
  }
}

function leaveJob() {
  shown = null;
  history.select(null);
  stage.showIdle(settings.image && !settings.styles.length ? "Choose a style." : "");
}

async function openFiles([file]) {
  complain();
  try {
    const image = await api.addImage(file);
    settings.image = image;
    settings.masks = {};
    stage.open(api.imageView(image.id), image);
    settings.changed("masks");
  } catch (error) {
    complain(error.message);
  }
}

async function preview() {
  const { request } = settings;
  if (shown || !request || !ready) return;
  if (previewing) {
    previewAgain = true;
    return;
  }
  previewing = true;
  stage.showIdle("One pass …");
  try {
    const { jpeg } = await api.preview(request);
    if (!shown && !previewAgain) {
      if (jpeg) stage.compare.show(`data:image/jpeg;base64,${jpeg}`);
      else stage.compare.clear();
      stage.showIdle(jpeg ? "One pass, as a preview." : "The one pass does not know this style: the optimizer starts from the content image.");
    }
  } catch (error) {
    if (!shown) stage.showIdle(error.message);
  }
  previewing = false;
  if (previewAgain) {
    previewAgain = false;
    preview();
  }
}

async function start() {
  complain();
  await regions.uploaded;
  const { request } = settings;
  if (!request) {
    complain(settings.styles.length ? "Paint where the styles go." : "Choose a style.");
    return;
  }
  try {
    const job = await api.addJob(request);
    jobs.set(job.id, jobs.get(job.id) ?? job);
    history.show(jobs.get(job.id));
    regions.show(false);
    select(job.id);
  } catch (error) {
    complain(error.message);
  }
}

function select(id) {
  shown = id;
  history.select(id);
  refresh();
}

/** Shows a job with its image and all its settings. */
async function showJob(job) {
  await loadJob(job);
  window.scrollTo({ top: 0 });
}

async function loadJob(job) {
  complain();
  try {
    const image = await api.describeImage(job.request.image);
    shown = job.id;
    stage.open(api.imageView(image.id), image);
    regions.show(false);
    settings.load(job.request, image);
    for (const [style, mask] of Object.entries(settings.masks)) await painter.load(style, api.imageView(mask));
    select(job.id);
  } catch (error) {
    complain(error.message);
  }
}

function act(action) {
  action.catch((error) => complain(error.message));
}
