// The page: loads the models with their progress, and shows what can be done with them.

import { Engine } from "../model/client.js";
import { Classify } from "./classify.js";
import { element, formatBytes, formatPercent } from "./dom.js";
import { explain, findMissingFeature } from "./failures.js";
import { Restyle } from "./restyle.js";
import { makeTabs } from "./tabs.js";

const WANTS_GPU = new URLSearchParams(location.search).has("webgpu");

const find = (id) => document.getElementById(id);

async function main() {
  const missing = findMissingFeature();
  if (missing) return fail(missing);
  try {
    const site = await readSite();
    const engine = new Engine();
    const started = performance.now();
    const runtime = await engine.call("start", { ...site, wantsGpu: WANTS_GPU }, { progress: showProgress });
    find("loading").hidden = true;
    showFacts(site, runtime, performance.now() - started);
    showPanels(site, engine);
    document.documentElement.dataset.ready = "true";
  } catch (error) {
    fail(explain(error));
  }
}

function showPanels({ classifier, stylizer }, engine) {
  const tabs = [];
  if (classifier) {
    new Classify(find("classify"), engine, classifier).show();
    tabs.push({ name: "Classify", panel: find("classify") });
  }
  if (stylizer) {
    new Restyle(find("restyle"), engine, stylizer).show();
    tabs.push({ name: "Restyle", panel: find("restyle") });
  }
  makeTabs(document.querySelector(".tabs"), tabs);
}

async function readSite() {
  const response = await fetch("site.json").catch(() => null);
  if (!response?.ok) throw new Error("site.json cannot be loaded");
  return response.json();
}

function showProgress(loaded, total) {
  find("loading-progress").value = loaded / total;
  const isThere = loaded === total;
  find("loading-text").textContent = isThere
    ? "Preparing the model …"
    : `Loading the model: ${formatBytes(loaded)} of ${formatBytes(total)}`;
}

function fail(sentence) {
  find("loading").hidden = true;
  find("failure").hidden = false;
  find("failure").textContent = sentence;
}

function showFacts({ classifier, stylizer }, runtime, milliseconds) {
  const facts = [];
  if (classifier) {
    const accuracy = classifier.accuracy === null ? "" : `, accuracy ${formatPercent(classifier.accuracy)} on the test split`;
    facts.push(["Classifier", `version ${classifier.version}, ${classifier.labels.length} classes${accuracy}`]);
    facts.push(["Its file", `${classifier.quantization}, ${formatBytes(classifier.bytes)}`]);
  }
  if (stylizer) {
    const origin = stylizer.version ? `version ${stylizer.version}` : "the built-in one";
    facts.push(["Stylizer", `${origin}, ${stylizer.styles.length} styles`]);
  }
  facts.push(["Runs on", describe(runtime)]);
  facts.push(["Loaded in", `${(milliseconds / 1000).toFixed(1)} s`]);
  find("facts").replaceChildren(
    ...facts.map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value))),
  );
}

function describe({ threads, usesGpu, whyNoGpu }) {
  if (usesGpu) return "the graphics processor, by WebGPU";
  const reasons = [];
  if (!crossOriginIsolated) reasons.push("the host does not isolate this page, which threads need");
  if (whyNoGpu) reasons.push(`not on the graphics processor: ${whyNoGpu}`);
  const why = reasons.length ? ` (${reasons.join("; ")})` : "";
  return `WebAssembly, ${threads === 1 ? "1 thread" : `${threads} threads`}${why}`;
}

/** The switch loads the page again: LiteRT.js is set up for one or the other. */
function showSwitch() {
  find("gpu").checked = WANTS_GPU;
  find("gpu").onchange = ({ target }) => (location.search = target.checked ? "?webgpu" : "");
}

showSwitch();
main();
