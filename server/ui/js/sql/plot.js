// A plot of a result that has a time column: which numbers to draw, and which text column makes lines.

import { SERIES_COLOURS, TimeChart } from "../chart.js";
import { h, setText } from "../dom.js";
import { cell, compact, isTimeType, toMillis } from "../format.js";
import { alignment } from "../table.js";

const HEIGHT = 300;

/** What a result offers to a plot, or null when it has no time column or no numbers. */
export function plottable(columns, rows) {
  const kinds = columns.map((column, i) => alignment(column, rows[0]?.[i]));
  const indexes = columns.map((_, i) => i);
  const times = indexes.filter((i) => isTimeType(columns[i].type));
  const numbers = indexes.filter((i) => kinds[i] === "num");
  if (times.length === 0 || numbers.length === 0 || rows.length < 2) return null;
  const groups = indexes.filter((i) => kinds[i] === "text" && !Array.isArray(rows[0][i]));
  return { times, numbers, groups };
}

/**
 * Chart data of rows: `{labels, data, left}`. A line is a number column, or with `group` (or -1) a number
 * column for one value of it; the lines with most in them are drawn, `left` says how many are not.
 */
export function plotLines(columns, rows, { time, numbers, group }) {
  const points = rows
    .map((row) => ({ at: toMillis(row[time]) / 1000, row }))
    .filter((point) => Number.isFinite(point.at))
    .sort((a, b) => a.at - b.at);
  if (group < 0) {
    const data = [points.map((point) => point.at), ...numbers.map((i) => points.map((point) => value(point.row[i])))];
    return { labels: numbers.map((i) => columns[i].name), data, left: 0 };
  }
  const times = [...new Set(points.map((point) => point.at))];
  const place = new Map(times.map((at, i) => [at, i]));
  const lines = new Map();
  for (const { at, row } of points) {
    for (const i of numbers) {
      const name = cell(row[group]) || "null";
      const label = numbers.length > 1 ? `${name} ${columns[i].name}` : name;
      if (!lines.has(label)) lines.set(label, { values: new Array(times.length).fill(null), weight: 0 });
      const line = lines.get(label);
      line.values[place.get(at)] = value(row[i]);
      line.weight += Math.abs(value(row[i]) ?? 0);
    }
  }
  const order = [...lines].sort((a, b) => b[1].weight - a[1].weight);
  const drawn = order.slice(0, SERIES_COLOURS);
  return {
    labels: drawn.map(([label]) => label),
    data: [times, ...drawn.map(([, line]) => line.values)],
    left: order.length - drawn.length,
  };
}

function value(raw) {
  return raw === null || raw === undefined ? null : Number(raw);
}

export class ResultPlot {
  #box;
  #controls = h("div", { class: "plot-controls" });
  #note = h("span", { class: "sub" });
  #chart;
  #shape = "";
  #choice = null;
  #result = null;

  constructor(box) {
    this.#box = box;
    const canvas = h("div");
    box.append(this.#controls, canvas);
    this.#chart = new TimeChart(canvas, { height: HEIGHT, format: compact, floor: null, dates: true, joined: true });
  }

  /** Draws a result that is `plottable`. The same columns as last time keep what was chosen. */
  show(columns, rows, offer) {
    this.#result = { columns, rows };
    const shape = JSON.stringify(columns);
    if (shape !== this.#shape) {
      this.#shape = shape;
      this.#choice = firstChoice(rows, offer);
      this.#buildControls(columns, offer);
    }
    this.#draw();
  }

  #draw() {
    const { columns, rows } = this.#result;
    const { labels, data, left } = plotLines(columns, rows, this.#choice);
    this.#chart.setSeries(labels.map((label, i) => ({ label, colour: i })));
    this.#chart.setData(data);
    setText(this.#note, left > 0 ? `${left} smaller lines left out` : "");
  }

  #buildControls(columns, { times, numbers, groups }) {
    const choose = (changes) => {
      Object.assign(this.#choice, changes);
      this.#draw();
    };
    const select = (label, chosen, indexes, key, none) =>
      h(
        "label",
        null,
        `${label} `,
        h(
          "select",
          { onchange: (event) => choose({ [key]: Number(event.target.value) }) },
          none ? h("option", { value: -1 }, none) : null,
          ...indexes.map((i) => h("option", { value: i, selected: i === chosen }, columns[i].name)),
        ),
      );
    const boxes = numbers.map((i) => {
      const box = h("input", { type: "checkbox", checked: this.#choice.numbers.includes(i) });
      box.addEventListener("change", () => {
        const kept = this.#choice.numbers.filter((other) => other !== i);
        choose({ numbers: numbers.filter((n) => kept.includes(n) || (n === i && box.checked)) });
      });
      return h("label", null, box, ` ${columns[i].name}`);
    });
    this.#controls.replaceChildren(
      times.length > 1 ? select("Time", this.#choice.time, times, "time") : "",
      groups.length > 0 ? select("Lines by", this.#choice.group, groups, "group", "nothing") : "",
      h("fieldset", null, h("legend", { class: "offscreen" }, "Columns to draw"), ...boxes),
      this.#note,
    );
  }
}

/** One number column, and lines by the first text column where times repeat. */
function firstChoice(rows, { times, numbers, groups }) {
  const repeats = new Set(rows.map((row) => cell(row[times[0]]))).size < rows.length;
  return { time: times[0], numbers: numbers.slice(0, repeats ? 1 : 3), group: repeats && groups.length > 0 ? groups[0] : -1 };
}
