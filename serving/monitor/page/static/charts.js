// One chart: its title, a legend that tells the values below the cursor, and uPlot's canvas.

import { element } from "./dom.js";
import { formatTime } from "./format.js";
import uPlot from "./vendor/uplot.js";

const HEIGHT = 190;
const BINS = 60;
/** Lines go on over this many points without a value: a little traffic leaves some out. */
const MOST_MISSING = 4;
const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const lines = new Set();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => lines.forEach((each) => each.rebuild()));

export class LineChart {
  /**
   * place: the element that it fills. title: its heading. format: a value for people. options: `from0`, whether the
   * scale begins at 0; `top`, the most that it may reach; `level`, the heading's level.
   */
  constructor(place, title, format, options = {}) {
    this.title = title;
    this.format = format;
    this.options = options;
    this.heading = element(options.level ?? "h2", {}, title);
    this.legend = element("ul", { className: "legend" });
    this.chart = element("div", { className: "chart", role: "img" });
    place.append(element("div", { className: "chart-head" }, this.heading, this.legend), this.chart);
    this.plot = null;
    lines.add(this);
    new ResizeObserver(() => this.resize()).observe(this.chart);
  }

  /** times: Unix seconds. series: {name, variable of its color, className, values, dash}. reason: why there is no data. */
  show(times, series, range, reason = "") {
    const isEmpty = !series.some(({ values }) => values.some((value) => value !== null));
    const shape = JSON.stringify([isEmpty && reason, series.map(({ name }) => name)]);
    this.times = times;
    this.series = series;
    this.range = range;
    this.isEmpty = isEmpty;
    this.reason = reason;
    if (shape === this.shape && this.plot) this.update();
    else if (shape !== this.shape) this.rebuild();
    this.shape = shape;
    this.describe(null);
    const told = series.map((each) => `${each.name}: ${this.format(findLast(each.values))}`).join(", ");
    this.chart.setAttribute("aria-label", `${this.title}. ${isEmpty ? `no data. ${reason}` : `Now ${told}.`}`);
  }

  rebuild() {
    if (!this.series) return;
    this.plot?.destroy();
    this.plot = null;
    this.legend.replaceChildren();
    this.chart.replaceChildren();
    if (this.isEmpty) {
      const text = element("p", { className: "nothing" }, element("strong", {}, "no data"));
      if (this.reason) text.append(element("span", {}, this.reason));
      this.chart.append(text);
      return;
    }
    this.values = this.series.map(({ name, className }) => {
      const value = element("b");
      this.legend.append(element("li", {}, element("i", { className }), name, value));
      return value;
    });
    this.plot = new uPlot(this.makeOptions(), this.data(), this.chart);
  }

  update() {
    this.plot.setData(this.data(), false);
    this.plot.setScale("x", { min: this.range[0], max: this.range[1] });
  }

  data() {
    return [this.times, ...this.series.map(({ values }) => values)];
  }

  resize() {
    const width = this.chart.clientWidth;
    if (this.plot && width) this.plot.setSize({ width, height: HEIGHT });
  }

  /** Tells the values at a place of the data, or the last ones. */
  describe(index) {
    this.values?.forEach((element, number) => {
      const values = this.series[number]?.values;
      if (values) element.textContent = this.format(index === null ? findLast(values) : (values[index] ?? null));
    });
  }

  makeOptions() {
    const axis = { stroke: color("--muted"), font: "12px system-ui, sans-serif" };
    const grid = { stroke: color("--line"), width: 1 };
    return {
      width: this.chart.clientWidth || 300,
      height: HEIGHT,
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, points: { size: 7 } },
      scales: {
        x: { time: true, range: () => this.range },
        y: { range: (plot, low, high) => this.findRange(low, high) },
      },
      axes: [
        { ...axis, grid: { show: false }, ticks: { show: false }, size: 28, space: 60, values: (plot, splits) => splits.map((each) => formatTime(each, splits[1] - splits[0] < 60)) },
        { ...axis, grid, ticks: { show: false }, size: 62, space: 36, values: (plot, splits) => splits.map((each) => this.format(each)) },
      ],
      series: [
        {},
        ...this.series.map(({ name, variable, dash }) => ({
          label: name,
          stroke: color(variable),
          width: dash ? 1.5 : 2,
          dash,
          gaps: (plot, number, first, last, found) => found.filter(([from, to]) => to - from > (MOST_MISSING * plot.bbox.width) / BINS),
          points: { show: true, size: 6, fill: color(variable), filter: (plot, number) => findAlone(plot.data[number]) },
        })),
      ],
      hooks: { setCursor: [(plot) => this.describe(plot.cursor.idx ?? null)] },
    };
  }

  findRange(low, high) {
    const { from0, top = Infinity } = this.options;
    if (low === null) return [0, 1];
    const room = 0.12 * (high - low) || 0.1 * Math.abs(high) || 1;
    return [from0 ? 0 : low - room, Math.min(high + room, top)];
  }
}

/** Returns the places of values that no line joins with another. */
function findAlone(values) {
  const isThere = (place) => values[place] !== null && values[place] !== undefined;
  const reach = Array.from({ length: MOST_MISSING }, (_, number) => number + 1);
  return values.flatMap((value, place) => (value === null || reach.some((step) => isThere(place - step) || isThere(place + step)) ? [] : [place]));
}

function findLast(values) {
  return values.findLast((value) => value !== null) ?? null;
}
