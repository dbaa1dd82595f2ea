// What is shown as text and tables: tiles, versions, the test, drift, mistakes.

import { element } from "./dom.js";
import { formatCount, formatEValue, formatMemory, formatMilliseconds, formatPercent, formatRate, formatSize, formatTime, NO_DATA } from "./format.js";

const SVG = "http://www.w3.org/2000/svg";

export function makeTiles({ all, memory, drift, minutes }) {
  const range = describeRange(minutes);
  const resident = memory.bytes.at(-1) ?? null;
  const drifted = drift.effects.filter(({ state }) => state === "drift");
  const judged = drift.effects.filter(({ state }) => state !== NO_DATA);
  const failed = all.requests ? all.failed / all.requests : null;
  return [
    makeTile("Accuracy", formatPercent(all.accuracy), `${formatCount(all.labeled)} answers with truth, ${range}`),
    makeTile("Requests", all.requests ? formatRate(all.per_second) : NO_DATA, `${formatCount(all.requests)}, ${range}`),
    makeTile("Failed", formatPercent(failed), `${formatCount(all.failed)} of ${formatCount(all.requests)}`, all.failed > 0),
    makeTile("Latency", formatMilliseconds(all.latency_ms.p95), all.requests ? `95 %; median ${formatMilliseconds(all.latency_ms.p50)}` : "95 % quantile"),
    makeTile("Memory", formatMemory(resident), resident === null ? memory.reason : "of the server, resident"),
    makeTile(
      "Drift",
      judged.length ? (drifted.length ? `${drifted.length} of ${judged.length}` : "none") : NO_DATA,
      drifted.length ? drifted.map(({ name }) => name).join(", ") : judged.length ? `${judged.length} properties steady` : "see below",
      drifted.length > 0,
    ),
  ];
}

function makeTile(name, value, note, isBad = false) {
  const kind = value === NO_DATA ? " none" : isBad ? " bad" : "";
  return element(
    "div",
    { className: "card tile" },
    element("h2", {}, name),
    element("p", { className: `value${kind}` }, value),
    element("p", { className: "note" }, note),
  );
}

export function describeRange(minutes) {
  return `last ${minutes < 60 ? `${minutes} min` : minutes === 60 ? "hour" : `${minutes / 60} h`}`;
}

export function makeVersions(versions, colorOf, minutes) {
  if (!versions.length) return [makeNothing(`no request in the ${describeRange(minutes)}`)];
  const columns = ["Version", "Share", "Requests", "Failed", "Truth known", "Accuracy", "Median", "95 %", "99 %"];
  const rows = versions.map((each) => [
    element(
      "span",
      {},
      element("span", { className: `swatch ${colorOf(each.version).className}` }),
      each.version,
      ...each.aliases.flatMap((alias) => [" ", element("span", { className: "chip" }, alias)]),
    ),
    formatPercent(each.share),
    formatCount(each.requests),
    formatCount(each.failed),
    formatCount(each.labeled),
    formatPercent(each.accuracy),
    ...["p50", "p95", "p99"].map((name) => formatMilliseconds(each.latency_ms[name])),
  ]);
  return [makeTable("Versions", columns, rows)];
}

function makeTable(name, columns, rows, texts = 1) {
  const kind = (number) => (number < texts ? {} : { className: "number" });
  const head = element("tr", {}, ...columns.map((each, number) => element("th", { scope: "col", ...kind(number) }, each)));
  const body = rows.map((row) => element("tr", {}, ...row.map((each, number) => element("td", kind(number), each))));
  const table = element("table", {}, element("thead", {}, head), element("tbody", {}, ...body));
  return element("div", { className: "scroll", tabIndex: 0, role: "region", "aria-label": `${name}, table` }, table);
}

const VERDICTS = { promote: "good", "roll back": "bad", wait: "wait" };

export function makeTest(test) {
  const chip = element("span", { className: `chip ${VERDICTS[test.verdict] ?? ""}` }, test.verdict);
  const line = element("p", { className: "verdict", "aria-live": "polite" }, chip);
  if (test.arms) line.append(`E-value ${formatEValue(Math.log10(test.e_value))}; ${formatEValue(Math.log10(test.threshold))} decides`);
  const parts = [line, element("ul", { className: "reasons" }, ...test.reasons.map((each) => element("li", {}, each)))];
  if (test.arms) {
    const columns = ["Arm", "Version", "Requests", "Errors", "Accuracy", "95 %"];
    const rows = Object.entries(test.arms).map(([name, arm]) => [
      name,
      arm.version,
      formatCount(arm.requests),
      formatCount(arm.errors),
      formatPercent(arm.accuracy),
      formatMilliseconds(arm.latency_ms.p95 ?? null),
    ]);
    parts.push(makeTable("Arms of the test", columns, rows));
  }
  return parts;
}

const STATES = { drift: "bad", steady: "good" };

export function makeDrift({ effects, version, images, window }) {
  const rows = effects.map((each) => {
    const chip = element("span", { className: `chip ${STATES[each.state] ?? ""}` }, each.state);
    if (each.size === null) return element("li", {}, element("span", {}, each.name), element("span", { className: "why" }, each.reason), chip);
    const size = element("span", { className: "size" }, `${formatSize(each.size)} ${shorten(each.unit)}`);
    return element("li", { className: each.state === "drift" ? "drifted" : "" }, element("span", {}, each.name), makeBar(each), size, chip);
  });
  const reasons = new Set(effects.map(({ reason }) => reason));
  if (effects.every(({ size }) => size === null) && reasons.size === 1) return [makeNothing(...reasons)];
  const about = version === null ? "" : `The last ${window} requests against ${formatCount(images)} test images of version ${version}. The mark is the limit.`;
  return [element("ul", { className: "effects" }, ...rows), element("p", { className: "small" }, about)];
}

const shorten = (unit) => (unit === "standard deviations" ? "std. dev." : unit);

/** The size on a scale of twice the limit, or more where it is larger. */
function makeBar({ size, limit }) {
  const most = Math.max(2 * limit, size);
  const bar = document.createElementNS(SVG, "svg");
  bar.setAttribute("viewBox", "0 0 100 10");
  bar.setAttribute("preserveAspectRatio", "none");
  bar.setAttribute("aria-hidden", "true");
  const add = (className, x, width, y, height) => {
    const box = document.createElementNS(SVG, "rect");
    for (const [name, value] of Object.entries({ class: className, x, width, y, height })) box.setAttribute(name, value);
    bar.append(box);
  };
  add("track", 0, 100, 2, 6);
  add("fill", 0, Math.max(0, (100 * size) / most), 2, 6);
  add("limit", (100 * limit) / most - 0.4, 0.8, 0, 10);
  return bar;
}

export function makeMistakes(mistakes, labeled) {
  if (!mistakes.length) return [makeNothing(labeled ? "no mistake among the answers whose truth is known" : "no truth has come in")];
  const items = mistakes.map((each) => {
    const alternative = `${each.truth}, predicted as ${each.label}`;
    const image = each.image
      ? element("img", { src: `samples/${each.image}`, alt: alternative })
      : element("span", { className: "blank" }, "image not kept");
    return element(
      "li",
      {},
      image,
      element("p", {}, element("span", { className: "said" }, each.label), ` ${formatPercent(each.probability)}`),
      element("p", {}, `truth: ${each.truth}`),
      element("p", { className: "muted" }, `${formatTime(each.when, true)}, ${each.version}`),
    );
  });
  return [element("ul", { className: "gallery" }, ...items)];
}

function makeNothing(reason) {
  return element("p", { className: "nothing" }, element("strong", {}, NO_DATA), `: ${reason}`);
}
