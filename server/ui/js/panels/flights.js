// Flights a minute by airport, stacked, in event time. The panel keeps a count per minute and airport:
// an inserted row adds its flights and a retracted one takes them away, whatever the order.

import { SERIES_COLOURS, TimeChart } from "../chart.js";
import { byId, emptyState, h, setText, throttled } from "../dom.js";
import { compact, dateTime, toMillis } from "../format.js";

const MINUTE = 60;
// Event time the panel holds on to; what is older is of no use to its longest range.
const KEPT = 30 * 3600;
const RANGES = [
  { label: "1 h", seconds: 3600, bin: MINUTE },
  { label: "6 h", seconds: 6 * 3600, bin: 5 * MINUTE },
  { label: "24 h", seconds: 24 * 3600, bin: 15 * MINUTE },
];
const NAMED = SERIES_COLOURS - 1;
const perMinute = (value) => (Number.isFinite(value) ? value.toFixed(value < 10 ? 1 : 0) : "–");

/** Counts per minute and airport. */
export class FlightCounts {
  #minutes = new Map();
  newest = -Infinity;

  clear() {
    this.#minutes.clear();
    this.newest = -Infinity;
  }

  add(time, airport, flights) {
    if (!Number.isFinite(time) || time < this.newest - KEPT) return;
    let minute = this.#minutes.get(time);
    if (!minute) this.#minutes.set(time, (minute = new Map()));
    const count = (minute.get(airport) ?? 0) + flights;
    if (count === 0) minute.delete(airport);
    else minute.set(airport, count);
    if (time > this.newest) this.#advance(time);
  }

  #advance(time) {
    this.newest = time;
    // Dropping in bulk once in a while costs less than looking at every minute that comes.
    if (this.#minutes.size < 1.25 * (KEPT / MINUTE)) return;
    for (const old of this.#minutes.keys()) if (old < time - KEPT) this.#minutes.delete(old);
  }

  get empty() {
    return this.newest === -Infinity;
  }

  /**
   * Mean flights a minute in bins of `bin` seconds over the last `seconds`: `{times, lines}` with lines
   * `{airport, values}`, the busiest first, all others summed up as the last one.
   */
  binned(seconds, bin) {
    const last = Math.floor(this.newest / bin) * bin;
    let oldest = this.newest;
    for (const time of this.#minutes.keys()) if (time < oldest) oldest = time;
    // Before the first flight ever there is nothing to draw, not even zeros.
    const first = Math.max(last - seconds + bin, Math.floor(oldest / bin) * bin);
    const times = [];
    for (let time = first; time <= last; time += bin) times.push(time);
    const totals = new Map();
    const cells = new Map();
    for (const [time, airports] of this.#minutes) {
      const at = Math.floor((time - first) / bin);
      if (at < 0 || at >= times.length) continue;
      for (const [airport, flights] of airports) {
        totals.set(airport, (totals.get(airport) ?? 0) + flights);
        if (!cells.has(airport)) cells.set(airport, new Array(times.length).fill(0));
        cells.get(airport)[at] += flights;
      }
    }
    const order = [...totals].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1)).map(([airport]) => airport);
    const lines = order.slice(0, NAMED).map((airport) => ({ airport, values: cells.get(airport) }));
    const rest = order.slice(NAMED);
    if (rest.length > 0) lines.push({ airport: `${rest.length} others`, values: sum(rest.map((airport) => cells.get(airport))) });
    // The last bin is still filling: its mean is over the minutes that have begun.
    const begun = times.map((time) => Math.min(bin, this.newest + MINUTE - time) / MINUTE);
    for (const line of lines) line.values = line.values.map((flights, i) => flights / begun[i]);
    return { times, lines };
  }
}

function sum(columns) {
  return columns[0].map((_, i) => columns.reduce((total, column) => total + column[i], 0));
}

export function flightsPanel(feed) {
  const counts = new FlightCounts();
  const body = byId("flights-body");
  const holder = h("div", { hidden: true });
  const empty = emptyState("No flights yet", "The demo replays two weeks of real flights and creates this view.", "tidemill demo");
  body.append(empty, holder);
  const chart = new TimeChart(holder, { height: 236, format: perMinute, axisFormat: compact, dates: true, stacked: true });
  let range = RANGES[1];
  let find = {};
  // An airport keeps its colour while it stays among the busiest.
  const colours = new Map();
  const draw = throttled(show, 250);

  const buttons = RANGES.map((choice) =>
    h("button", { type: "button", "aria-pressed": String(choice === range), onclick: () => choose(choice) }, choice.label),
  );
  byId("flights-range").append(...buttons);
  show();

  function choose(choice) {
    range = choice;
    buttons.forEach((button, i) => button.setAttribute("aria-pressed", String(RANGES[i] === range)));
    draw();
  }

  feed.subscribe("view:flights_per_minute", {
    columns(columns) {
      const at = (...names) => columns.findIndex((column) => names.includes(column.name.toLowerCase()));
      find = { airport: at("airport", "origin"), start: at("window_start"), flights: at("flights", "count") };
    },
    reset() {
      counts.clear();
      draw();
    },
    rows(insert, retract) {
      for (const row of insert) count(row, 1);
      for (const row of retract) count(row, -1);
      draw();
    },
  });

  function count(row, sign) {
    counts.add(toMillis(row[find.start]) / 1000, String(row[find.airport] ?? "?"), sign * Number(row[find.flights] ?? 0));
  }

  function show() {
    holder.hidden = counts.empty;
    empty.hidden = !counts.empty;
    byId("flights-range").hidden = counts.empty;
    setText(byId("flights-at"), counts.empty ? "" : `event time ${dateTime(counts.newest * 1000).slice(0, 16)}`);
    if (counts.empty) return;
    const { times, lines } = counts.binned(range.seconds, range.bin);
    chart.setSeries(lines.map((line) => ({ label: line.airport, colour: colourOf(line.airport, lines), fill: 0.55, width: 1 })));
    // Line i is drawn on top of all lines after it.
    const stacked = lines.map((_, i) => sum(lines.slice(i).map((line) => line.values)));
    chart.setData([times, ...stacked], [times, ...lines.map((line) => line.values)]);
  }

  function colourOf(airport, lines) {
    if (lines.findIndex((line) => line.airport === airport) === NAMED) return NAMED;
    if (!colours.has(airport)) {
      const names = new Set(lines.map((line) => line.airport));
      for (const name of colours.keys()) if (!names.has(name)) colours.delete(name);
      const taken = new Set(colours.values());
      let free = 0;
      while (taken.has(free)) free += 1;
      colours.set(airport, free);
    }
    return colours.get(airport);
  }
}
