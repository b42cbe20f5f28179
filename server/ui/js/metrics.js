// The last minutes of `dashboard:metrics`, one row a second, for every panel that draws them.

import { toMillis } from "./format.js";
import { throttled } from "./dom.js";

/** How many seconds are kept. */
export const KEPT_SECONDS = 900;
// Rows further apart than this are not joined by a line: nothing is known in between.
const BREAK_SECONDS = 5;

export class Metrics {
  #names = [];
  #time = [];
  #values = new Map();
  #listeners = [];
  #notify;

  constructor(feed) {
    this.#notify = throttled(() => this.#listeners.forEach((listener) => listener(this)), 200);
    feed.subscribe("dashboard:metrics", {
      columns: (columns) => {
        this.#names = columns.map((column) => column.name);
      },
      rows: (insert) => {
        for (const row of insert) this.#add(row);
        if (insert.length > 0) this.#notify();
      },
    });
  }

  /** Calls `listener(this)` after new rows. */
  onChange(listener) {
    this.#listeners.push(listener);
  }

  /** The newest value of a column, or null. */
  latest(name) {
    return this.#values.get(name)?.at(-1) ?? null;
  }

  has(name) {
    return this.#names.includes(name);
  }

  /** Chart data of the last `seconds`: times, then one array a name. Missing columns are all null. */
  data(names, seconds = KEPT_SECONDS) {
    const from = (this.#time.at(-1) ?? 0) - seconds;
    const start = this.#time.findIndex((time) => time >= from);
    const time = start < 0 ? [] : this.#time.slice(start);
    return [time, ...names.map((name) => this.#values.get(name)?.slice(start) ?? time.map(() => null))];
  }

  /** The first second on record, or Infinity. */
  start() {
    return this.#time[0] ?? Infinity;
  }

  #add(row) {
    const time = toMillis(row[this.#names.indexOf("timestamp")]) / 1000;
    const last = this.#time.at(-1);
    // After a reconnect the snapshot brings rows again that are already here.
    if (!Number.isFinite(time) || time <= last) return;
    if (last !== undefined && time - last > BREAK_SECONDS) this.#push(last + 1, () => null);
    this.#push(time, (name) => row[this.#names.indexOf(name)]);
  }

  #push(time, value) {
    this.#time.push(time);
    for (const name of this.#names) {
      if (!this.#values.has(name)) this.#values.set(name, new Array(this.#time.length - 1).fill(null));
    }
    for (const [name, values] of this.#values) {
      const given = value(name);
      values.push(given === null || given === undefined ? null : Number(given));
    }
    if (this.#time.length <= KEPT_SECONDS) return;
    this.#time.shift();
    for (const values of this.#values.values()) values.shift();
  }
}
