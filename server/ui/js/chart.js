// Charts over time, drawn by uPlot: the house's axes, colours of the present scheme, a legend in the
// document (so that it can be read and copied), and a size that follows the panel.

import { h, setText } from "./dom.js";
import { clock, compact, dateTime } from "./format.js";

const uPlot = window.uPlot;
const scheme = window.matchMedia("(prefers-color-scheme: dark)");
const UTC = (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC");
const AXIS_FONT = '11px system-ui, "Segoe UI", "Liberation Sans", sans-serif';

/** How many series colours the style sheet defines (`--s0` and on). */
export const SERIES_COLOURS = 8;

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

/** The same colour, see-through. The style sheet gives all series colours as #rrggbb. */
function faded(hex, alpha) {
  const value = Number.parseInt(hex.slice(1), 16);
  return `rgba(${value >> 16}, ${(value >> 8) & 255}, ${value & 255}, ${alpha})`;
}

/** Labels of the time axis: clock times, and the date where a day begins. */
function timeLabels(_plot, splits, _axis, _space, step) {
  let lastDay = "";
  return splits.map((seconds) => {
    const text = dateTime(seconds * 1000);
    const day = text.slice(5, 10);
    if (step >= 86_400) return text.slice(0, 10);
    const newDay = day !== lastDay;
    lastDay = day;
    const time = step < 60 ? text.slice(11) : text.slice(11, 16);
    return newDay && step >= 3600 ? `${time}\n${day}` : time;
  });
}

export class TimeChart {
  #box;
  #options;
  #series = [];
  #data = [[]];
  #shown = null;
  #plot = null;
  #legend = null;
  #values = [];
  #time = null;

  /**
   * `host` is an empty element. Options: `height`; `format(value)` for the legend and, unless
   * `axisFormat` is given, the axis; `bare` leaves out axes and legend; `floor` and `ceiling` are values the y axis always reaches; `dates` adds
   * dates to the times; `stacked` says that each line lies on the next one, so that the
   * areas between them are filled; `joined` draws a line across missing values.
   */
  constructor(host, options = {}) {
    this.#options = { height: 160, format: compact, floor: 0, joined: false, ...options };
    this.#box = h("div", { class: "plot idle", "aria-hidden": "true" });
    this.#box.style.height = `${this.#options.height}px`;
    host.append(this.#box);
    if (!this.#options.bare) {
      this.#legend = h("div", { class: "legend" });
      host.append(this.#legend);
    }
    new ResizeObserver(() => this.#resize()).observe(this.#box);
    scheme.addEventListener("change", () => this.#build());
  }

  /**
   * Names the lines: `{label, colour, fill, width}`, `colour` being an index into the series colours
   * and `fill` the opacity of the area below the line. Rebuilds only when something differs.
   */
  setSeries(series) {
    if (JSON.stringify(series) === JSON.stringify(this.#series)) return;
    this.#series = series;
    this.#data = [[], ...series.map(() => [])];
    this.#shown = null;
    this.#build();
  }

  /**
   * Columns: seconds since 1970, then one array of values (or nulls) a series. `shown` are the values the
   * legend gives instead, where those that are drawn are sums of several.
   */
  setData(data, shown = null) {
    this.#data = data;
    this.#shown = shown;
    // Axes without a single point would only show made-up scales.
    this.#box.classList.toggle("idle", data[0].length === 0);
    if (!this.#plot) this.#build();
    else this.#plot.setData(data);
    this.#label(this.#plot?.cursor.idx ?? null);
  }

  #resize() {
    const width = this.#box.clientWidth;
    if (width === 0) return;
    if (this.#plot) this.#plot.setSize({ width, height: this.#options.height });
    else this.#build();
  }

  #build() {
    this.#plot?.destroy();
    this.#plot = null;
    const width = this.#box.clientWidth;
    // A hidden panel has no width; the resize observer comes back when it is shown.
    if (this.#series.length === 0 || width === 0) return;
    this.#buildLegend();
    this.#plot = new uPlot(this.#plotOptions(width), this.#data, this.#box);
    this.#label(null);
  }

  #plotOptions(width) {
    const { height, format, axisFormat = format, bare, floor, ceiling, stacked, dates } = this.#options;
    const axis = {
      stroke: colour("muted"),
      font: AXIS_FONT,
      grid: { stroke: colour("grid"), width: 1 },
      ticks: { show: false },
      gap: 4,
    };
    return {
      width,
      height,
      tzDate: UTC,
      padding: bare ? [2, 0, 2, 0] : [8, 16, 0, 0],
      legend: { show: false },
      cursor: {
        show: !bare,
        y: false,
        points: { size: 5 },
        drag: { x: true, y: false, setScale: true },
      },
      scales: {
        x: { time: true },
        y: { range: (_plot, low, high) => yRange(low, high, floor, ceiling) },
      },
      axes: [
        { ...axis, show: !bare, size: dates ? 30 : 18, space: 64, values: timeLabels },
        { ...axis, show: !bare, size: labelWidth, space: 28, values: (_plot, splits) => splits.map(axisFormat) },
      ],
      series: [{}, ...this.#series.map((line) => this.#line(line))],
      bands: stacked ? this.#series.slice(1).map((_, i) => ({ series: [i + 1, i + 2] })) : [],
      hooks: { setCursor: [(plot) => this.#label(plot.cursor.idx)] },
    };
  }

  #line({ label, colour: index, fill, width }) {
    const stroke = colour(`s${index % SERIES_COLOURS}`);
    return {
      label,
      stroke,
      width: width ?? 1.5,
      spanGaps: this.#options.joined,
      fill: fill ? faded(stroke, fill) : undefined,
      points: { show: (_plot, _series, first, last) => last - first < 2 },
    };
  }

  #buildLegend() {
    if (!this.#legend) return;
    this.#values = this.#series.map(() => h("span", { class: "legend-value num" }));
    this.#time = h("span", { class: "legend-time num" });
    const items = this.#series.map(({ label, colour: index }, i) =>
      h("span", { class: "legend-item" }, h("i", { class: `swatch c${index % SERIES_COLOURS}` }), label, this.#values[i]),
    );
    this.#legend.replaceChildren(...items, this.#time);
  }

  // The values under the cursor, or the newest when there is no cursor.
  #label(index) {
    if (!this.#legend || this.#values.length === 0) return;
    const columns = this.#shown ?? this.#data;
    const at = index ?? this.#data[0].length - 1;
    this.#values.forEach((value, i) => setText(value, at >= 0 ? this.#options.format(columns[i + 1]?.[at]) : ""));
    const seconds = this.#data[0][at];
    const write = this.#options.dates ? (ms) => dateTime(ms).slice(0, 16) : clock;
    setText(this.#time, index === null || seconds === undefined ? "" : write(seconds * 1000));
  }
}

/** Room for the longest label of the y axis, in steps so that the plot does not twitch as values change. */
function labelWidth(_plot, labels) {
  const longest = Math.max(0, ...(labels ?? []).map((label) => label.length));
  return 16 + 14 * Math.ceil(longest / 2);
}

/** A y range with headroom, which stays where it is while the values are small or all the same. */
function yRange(low, high, floor, ceiling) {
  const bottom = floor === null ? (low ?? 0) : Math.min(floor, low ?? floor);
  const top = Math.max(high ?? 0, ceiling ?? -Infinity);
  if (!(top > bottom)) return [bottom, bottom + 1];
  const room = ceiling !== undefined && top === ceiling ? 0 : (top - bottom) * 0.08;
  return [floor === null ? bottom - room : bottom, top + room];
}
