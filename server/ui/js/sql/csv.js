// Results as CSV (RFC 4180), and as a file to save.

import { h } from "../dom.js";
import { Exact } from "../json.js";

function field(value) {
  if (value === null || value === undefined) return "";
  const text = typeof value === "object" && !(value instanceof Exact) ? JSON.stringify(value) : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** Rows with a header line. Null is an empty field. */
export function toCsv(columns, rows) {
  const lines = [columns.map((column) => field(column.name)), ...rows.map((row) => columns.map((_, i) => field(row[i])))];
  return lines.map((line) => `${line.join(",")}\r\n`).join("");
}

/** Hands a text to the browser as a file. */
export function save(name, text, type) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  const link = h("a", { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  // The browser has taken hold of the blob by the next turn; without this it lives as long as the page.
  setTimeout(() => URL.revokeObjectURL(url), 0);
}
