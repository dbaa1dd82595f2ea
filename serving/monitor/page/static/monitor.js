// The page: takes what the server sends once a second, and shows it.

import { describeRange, makeDrift, makeMistakes, makeTest, makeTiles, makeVersions } from "./cards.js";
import { LineChart } from "./charts.js";
import { element } from "./dom.js";
import { formatCount, formatEValue, formatMemory, formatMilliseconds, formatPercent, formatRate } from "./format.js";

const RANGES = { 5: "5 min", 60: "1 hour", 1440: "24 hours" };
const COLORS = 4;
const find = (id) => document.getElementById(id);

const shown = new Map();
const colors = new Map();
let source = null;

const charts = Object.fromEntries(
  Object.entries({
    traffic: ["Traffic by version", formatRate, { from0: true }],
    accuracy: ["Accuracy", formatPercent, { top: 1.001 }],
    latency: ["Latency (95 %)", formatMilliseconds, { from0: true }],
    memory: ["Memory of the server", formatMemory, { from0: true }],
  }).map(([name, [title, format, options]]) => {
    const card = element("div", { className: "card", id: `chart-${name}` });
    find("charts").append(card);
    return [name, new LineChart(card, title, format, options)];
  }),
);
const evidence = new LineChart(document.querySelector("#test .chart-place"), "E-value over time", formatEValue, { level: "h3" });

for (const [minutes, name] of Object.entries(RANGES)) {
  const button = element("button", { type: "button", onclick: () => listen(minutes) }, name);
  button.dataset.minutes = minutes;
  find("ranges").append(button);
}

function listen(minutes) {
  source?.close();
  for (const button of find("ranges").children) button.setAttribute("aria-pressed", String(button.dataset.minutes === String(minutes)));
  source = new EventSource(`events?minutes=${minutes}`);
  source.onmessage = ({ data }) => show(JSON.parse(data));
  source.onerror = () => {
    const ended = source.readyState === EventSource.CLOSED;
    tell("lost", ended ? "Not allowed. Open the address that atelier monitor printed." : "Connection lost. Trying again …");
  };
}

function tell(state, text) {
  const place = find("state");
  place.dataset.state = state;
  if (place.textContent !== text) place.textContent = text;
}

function show(data) {
  tell("live", "Live");
  for (const version of data.versions.map(({ version }) => version)) colorOf(version);
  put(find("tiles"), [data.all, data.memory.bytes.at(-1), data.drift, data.minutes], () => makeTiles(data));
  putCard("versions", [data.versions, data.minutes], () => makeVersions(data.versions, colorOf, data.minutes));
  putCard("test", data.ab, () => makeTest(data.ab));
  putCard("drift", data.drift, () => makeDrift(data.drift));
  putCard("mistakes", [data.mistakes, data.all.labeled > 0], () => makeMistakes(data.mistakes, data.all.labeled));
  const problems = find("problems");
  problems.hidden = !data.problems.length;
  put(problems, data.problems, () => data.problems.map((each) => element("li", {}, each)));
  put(find("facts"), [data.model, data.answers, data.atelier], () => makeFacts(data));
  showCharts(data);
  document.documentElement.dataset.ready = "true";
}

/** Puts new elements in a place where what they are made of has changed: focus and selection stay otherwise. */
function put(place, values, make) {
  const text = JSON.stringify(values);
  if (shown.get(place) === text) return;
  shown.set(place, text);
  place.replaceChildren(...make());
}

function putCard(id, values, make) {
  put(document.querySelector(`#${id} .content`), values, make);
}

function showCharts({ now, minutes, charts: { times, traffic, failed, accuracy, latency }, memory, ab }) {
  const range = [now - 60 * minutes, now];
  const reason = `no request in the ${describeRange(minutes)}`;
  const lines = (byVersion) =>
    Object.entries(byVersion).map(([name, values]) => ({ name, values, ...colorOf(name) }));
  const failures = failed.some((value) => value > 0) ? [{ name: "failed", values: failed, variable: "--warning", className: "failed", dash: [4, 4] }] : [];
  charts.traffic.show(times, [...lines(traffic), ...failures], range, reason);
  charts.accuracy.show(times, lines(accuracy), range, "no truth has come in for these requests");
  charts.latency.show(times, lines(latency), range, reason);
  charts.memory.show(memory.times, [{ name: "resident", values: memory.bytes, variable: "--version-0", className: "c0" }], range, memory.reason);
  document.querySelector("#test .chart-place").hidden = !ab.arms;
  const { times: when, log10_e: values } = ab.trace;
  const line = { name: "E-value", values, variable: "--version-0", className: "c0" };
  const limit = { name: "decides", values: values.map(() => Math.log10(ab.threshold)), variable: "--warning", className: "failed", dash: [6, 4] };
  const span = when.length ? [when[0], Math.max(when.at(-1), when[0] + 10)] : range;
  evidence.show(when, values.length ? [line, limit] : [], span, "no error of the two arms is known");
}

/** Versions keep their color as long as the page is open. */
function colorOf(version) {
  if (!colors.has(version)) colors.set(version, colors.size % COLORS);
  return { variable: `--version-${colors.get(version)}`, className: `c${colors.get(version)}` };
}

function makeFacts({ model, answers, atelier }) {
  const facts = { Model: model, "Answers read": formatCount(answers), Atelier: atelier };
  return Object.entries(facts).map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value)));
}

listen(5);
