// Any view, live: its rows as they stand, newest windows first, each lit up when it changes.

import { quoteName } from "../api.js";
import { bringUp, byId, emptyState, setText, throttled } from "../dom.js";
import { glance, integer, isNumericType, isTimeType, toMillis } from "../format.js";
import { RowSet } from "../rowset.js";
import { LiveTable, alignment, compareValues } from "../table.js";

const SHOWN = 300;

/** The live rows of one changelog inside an element: used for views, and for queries with EMIT CHANGES. */
export class LiveRows {
  #set = new RowSet();
  #table;
  #body;
  #onStatus;
  #columns = [];
  #typed = false;
  #key = null;
  #fresh = true;
  // Reading a time from text is the dearest part of ordering, so each row's is read once.
  #times = new WeakMap();
  #draw = throttled(() => this.#show(), 150);

  /** `onStatus(text)` is told how many rows there are and what the connection does. */
  constructor(body, testId, onStatus) {
    this.#body = body;
    this.#table = new LiveTable({ "data-testid": testId });
    this.#onStatus = onStatus;
    this.status = "waiting";
  }

  /** What a feed wants to be given. */
  listener() {
    return {
      columns: (columns, key) => {
        this.#columns = columns;
        this.#key = key;
        this.#typed = false;
        this.#set.clear();
      },
      reset: () => {
        this.#set.clear();
        this.#fresh = true;
        this.#draw();
      },
      rows: (insert, retract) => {
        const sound = this.#set.apply(insert, retract);
        this.#draw();
        return sound;
      },
      status: (status, detail) => {
        this.status = status;
        this.detail = detail;
        this.#draw();
      },
    };
  }

  /** Columns and all rows held, in no order. */
  snapshot() {
    return { columns: this.#columns, rows: [...this.#set] };
  }

  #show() {
    this.#onStatus(this.#sentence());
    if (this.#columns.length === 0 || (this.#set.size === 0 && this.#fresh)) {
      const title = this.status === "absent" ? "This view does not exist yet" : this.status === "live" ? "No rows yet" : "Waiting for rows";
      if (!this.#typed) this.#body.replaceChildren(emptyState(title, this.detail ?? "Rows appear here by themselves."));
      if (this.#columns.length === 0) return;
    }
    const rows = this.#newest([...this.#set]);
    // An untyped column is judged by its first value, so columns wait for a row to come.
    if (!this.#typed && rows.length > 0) this.#define(rows[0]);
    if (!this.#typed) return;
    if (this.#table.element.parentNode !== this.#body) this.#body.replaceChildren(this.#table.element);
    this.#table.render(rows.sort(this.#order()).slice(0, SHOWN), this.#fresh);
    this.#fresh = false;
  }

  #define(sample) {
    const key = keyColumns(this.#columns, this.#key);
    this.#table.setColumns(
      this.#columns.map((column, i) => ({
        label: column.name,
        type: column.type,
        kind: alignment(column, sample[i]),
        value: (row) => row[i],
        show: (row) => glance(row[i]),
      })),
      (row) => JSON.stringify(key.map((i) => row[i])),
    );
    this.#typed = true;
  }

  // Of many rows only those that can be among the newest `SHOWN` are worth an ordering by all their words.
  #newest(rows) {
    const time = this.#timeColumn();
    if (time < 0 || rows.length <= 2 * SHOWN) return rows;
    const times = Float64Array.from(rows, (row) => this.#timeOf(row, time));
    const bound = times.slice().sort()[rows.length - SHOWN];
    return Number.isNaN(bound) ? rows : rows.filter((_, i) => times[i] >= bound);
  }

  #timeOf(row, time) {
    let ms = this.#times.get(row);
    if (ms === undefined) this.#times.set(row, (ms = toMillis(row[time])));
    return ms;
  }

  #timeColumn() {
    const windows = this.#columns.findIndex((column) => column.name.toLowerCase() === "window_start");
    return windows >= 0 ? windows : this.#columns.findIndex((column) => isTimeType(column.type));
  }

  // Newest window first, then the rows' own words: an order that a change of a count does not disturb.
  #order() {
    const time = this.#timeColumn();
    const key = keyColumns(this.#columns, this.#key);
    return (a, b) => {
      const later = time < 0 ? 0 : this.#timeOf(b, time) - this.#timeOf(a, time);
      if (later) return later;
      for (const i of key) {
        const order = compareValues(a[i], b[i]);
        if (order !== 0) return order;
      }
      return 0;
    };
  }

  #sentence() {
    const rows = `${integer(this.#set.size)} ${this.#set.size === 1 ? "row" : "rows"}`;
    const capped = this.#set.size > SHOWN ? `, newest ${SHOWN} shown` : "";
    const words = { waiting: "waiting", absent: "not there yet", gap: "catching up", error: this.detail, stopped: `${rows}${capped}, stopped` };
    return words[this.status] ?? `${rows}${capped}`;
  }
}

/**
 * Which columns tell rows apart: those the server names; else windows, times, text and ids; else all.
 * A wrong guess only costs the light on a changed row: the rows themselves never depend on it.
 */
function keyColumns(columns, named) {
  const all = columns.map((_, i) => i);
  if (named) {
    const chosen = all.filter((i) => named.includes(columns[i].name) || named.includes(i));
    if (chosen.length > 0) return chosen;
  }
  const guessed = all.filter((i) => {
    const { name, type } = columns[i];
    return /^(window|session)_|(^|_)id$/i.test(name) || (type && !isNumericType(type) && !/\[\]$|^(ARRAY|LIST)/i.test(type));
  });
  return guessed.length > 0 ? guessed : all;
}

/** The panel below the dashboard that shows one view; `shown(name)` is told which, or null. */
export function viewPanel(feed, openSql, shown) {
  const panel = byId("view-panel");
  let chosen = null;
  let leave = () => {};
  byId("view-close").addEventListener("click", close);
  byId("view-query").addEventListener("click", () => openSql(`SELECT * FROM ${quoteName(chosen)} LIMIT 100`));

  function close() {
    leave();
    leave = () => {};
    panel.hidden = true;
    shown(null);
  }

  return function open(name) {
    close();
    chosen = name;
    shown(name);
    setText(byId("view-title"), name);
    byId("view-body").replaceChildren();
    panel.hidden = false;
    const rows = new LiveRows(byId("view-body"), "view-table", (text) => setText(byId("view-status"), text));
    leave = feed.subscribe(`view:${name}`, rows.listener());
    bringUp(panel);
  };
}
