// Tables: a plain one for query results, and a live one whose rows light up when they change.

import { flash, h, setText } from "./dom.js";
import { cell, isNumericType, isTimeType } from "./format.js";
import { isNumber } from "./json.js";

/** `num`, `time` or `text`: how a column is aligned. An untyped column is judged by a value of it. */
export function alignment(column, sample) {
  if (isNumericType(column.type)) return "num";
  if (isTimeType(column.type)) return "time";
  return !column.type && isNumber(sample) ? "num" : "text";
}

function bodyCell(value, kind, text = cell(value)) {
  const td = h("td", { class: value === null || value === undefined ? `${kind} null` : kind }, text);
  if (text.length > 40) td.title = text.slice(0, 2000);
  return td;
}

/**
 * A finished table of `rows`, at most `most` of them. A click on a heading sorts all rows by that column, a
 * second one turns the order round, a third one brings back the order they came in.
 */
export function resultTable(columns, rows, most) {
  const kinds = columns.map((column, i) => alignment(column, rows[0]?.[i]));
  const body = h("tbody");
  const fill = (ordered) =>
    body.replaceChildren(...ordered.slice(0, most).map((row) => h("tr", null, ...columns.map((_, i) => bodyCell(row[i], kinds[i])))));
  const heads = columns.map((column, i) => {
    const button = h("button", { type: "button", onclick: () => sortBy(i) }, column.name);
    return h("th", { class: kinds[i], scope: "col" }, button, h("small", null, column.type || ""));
  });
  const orders = ["ascending", "descending", null];

  function sortBy(at) {
    const order = orders[(orders.indexOf(heads[at].getAttribute("aria-sort")) + 1) % orders.length];
    for (const head of heads) head.removeAttribute("aria-sort");
    if (order) heads[at].setAttribute("aria-sort", order);
    const sign = order === "descending" ? -1 : 1;
    fill(order ? [...rows].sort((a, b) => compareValues(a[at], b[at], sign)) : rows);
  }

  fill(rows);
  return h("table", { class: "data" }, h("thead", null, h("tr", null, ...heads)), body);
}

/** Order of two values of one column, `sign` being -1 for descending. Nulls stand last either way. */
export function compareValues(a, b, sign = 1) {
  const missing = (value) => value === null || value === undefined;
  if (missing(a) || missing(b)) return missing(a) - missing(b);
  if (isNumber(a) && isNumber(b)) return sign * (Number(a) - Number(b));
  const [left, right] = [cell(a), cell(b)];
  return left === right ? 0 : sign * (left < right ? -1 : 1);
}

/**
 * A table that is told its rows again and again, and changes only what differs. Columns are
 * `{name, label, kind, show(row)}`; `keyOf(row)` says which row is which.
 */
export class LiveTable {
  #columns = [];
  #keyOf = null;
  #rows = new Map();
  #body = h("tbody");

  constructor(attributes = {}) {
    this.head = h("thead");
    this.element = h("table", { class: "data live", ...attributes }, this.head, this.#body);
  }

  setColumns(columns, keyOf) {
    this.#columns = columns;
    this.#keyOf = keyOf;
    this.clear();
    this.head.replaceChildren(
      h("tr", null, ...columns.map((c) => h("th", { class: c.kind, scope: "col" }, c.label, c.type ? h("small", null, c.type) : null))),
    );
  }

  clear() {
    this.#rows.clear();
    this.#body.replaceChildren();
  }

  /** Shows these rows in this order. `quiet` leaves out the light, for a snapshot. */
  render(rows, quiet) {
    const previous = this.#rows;
    this.#rows = new Map();
    let next = this.#body.firstChild;
    for (const row of rows) {
      const key = this.#uniqueKey(row);
      const known = previous.get(key);
      const line = known ?? this.#create(row);
      previous.delete(key);
      this.#rows.set(key, line);
      if (known) this.#update(known, row, quiet);
      else if (!quiet) flash(line);
      if (line === next) next = next.nextSibling;
      else this.#body.insertBefore(line, next);
    }
    for (const line of previous.values()) line.remove();
  }

  // A key that guesses wrong must not make a row vanish: repeats get a number.
  #uniqueKey(row) {
    const key = this.#keyOf(row);
    if (!this.#rows.has(key)) return key;
    let number = 2;
    while (this.#rows.has(`${key}#${number}`)) number += 1;
    return `${key}#${number}`;
  }

  #create(row) {
    return h("tr", null, ...this.#columns.map((column) => bodyCell(column.value(row), column.kind, column.show(row))));
  }

  #update(line, row, quiet) {
    let changed = false;
    this.#columns.forEach((column, i) => {
      const td = line.children[i];
      const text = column.show(row);
      if (td.textContent === text) return;
      setText(td, text);
      if (text.length > 40) td.title = text.slice(0, 2000);
      changed = true;
    });
    if (changed && !quiet) flash(line);
  }
}
