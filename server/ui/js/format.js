// How values are written: numbers, sizes, times, table cells. Times are UTC everywhere, as in the database.

import { Exact, isNumber } from "./json.js";

const NONE = "–";
const grouped = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });

function finite(value) {
  return isNumber(value) && Number.isFinite(Number(value));
}

/** 12,345 */
export function integer(value) {
  return finite(value) ? grouped.format(Number(value)) : NONE;
}

function threeDigits(value) {
  const size = Math.abs(value);
  if (size >= 99.95 || Number.isInteger(value)) return value.toFixed(0);
  return size >= 9.995 ? value.toFixed(1) : value.toFixed(2);
}

function scaled(value, base, units) {
  if (!finite(value)) return NONE;
  let size = Number(value);
  let unit = 0;
  while (Math.abs(size) >= base * 0.9995 && unit + 1 < units.length) {
    size /= base;
    unit += 1;
  }
  const digits = unit === 0 && Number.isInteger(size) ? String(size) : threeDigits(size);
  return units[unit] ? `${digits} ${units[unit]}` : digits;
}

/** 1.25 k, 3.40 M */
export function compact(value) {
  return scaled(value, 1000, ["", "k", "M", "G", "T"]);
}

/** 1.25 MiB */
export function bytes(value) {
  return scaled(value, 1024, ["B", "KiB", "MiB", "GiB", "TiB"]);
}

/** 1.25 MB/s, in powers of ten as links and disks are rated */
export function byteRate(value) {
  return finite(value) ? `${scaled(value, 1000, ["B", "kB", "MB", "GB", "TB"])}/s` : NONE;
}

/** 48.2 % */
export function percent(value) {
  return finite(value) ? `${Number(value).toFixed(1)} %` : NONE;
}

/** A duration in milliseconds, in the unit that suits it. */
export function millis(value) {
  if (!finite(value)) return NONE;
  const ms = Number(value);
  if (ms !== 0 && Math.abs(ms) < 1) return `${threeDigits(ms * 1000)} µs`;
  if (Math.abs(ms) < 1000) return `${threeDigits(ms)} ms`;
  if (Math.abs(ms) < 60_000) return `${threeDigits(ms / 1000)} s`;
  if (Math.abs(ms) < 3_600_000) return `${threeDigits(ms / 60_000)} min`;
  return `${threeDigits(ms / 3_600_000)} h`;
}

/** Milliseconds since 1970 of RFC 3339 text or of an integer in s, ms, us or ns (told apart by size); else NaN. */
export function toMillis(value) {
  if (typeof value === "string") return Date.parse(value);
  if (!isNumber(value)) return NaN;
  const number = Number(value);
  const size = Math.abs(number);
  if (size < 1e11) return number * 1e3;
  if (size < 1e14) return number;
  return size < 1e17 ? number / 1e3 : number / 1e6;
}

function iso(ms) {
  return Number.isFinite(ms) && Math.abs(ms) <= 8.64e15 ? new Date(ms).toISOString() : null;
}

/** 2001-01-05 08:15:30 */
export function dateTime(ms) {
  return iso(ms)?.slice(0, 19).replace("T", " ") ?? NONE;
}

/** 08:15:30 */
export function clock(ms) {
  return iso(ms)?.slice(11, 19) ?? NONE;
}

/** A window, as short as it can be told: `08:00–09:00`, with the date unless that is today. */
export function span(start, end) {
  const from = dateTime(start);
  const to = dateTime(end);
  if (from === NONE || to === NONE) return NONE;
  const cut = from.endsWith(":00") && to.endsWith(":00") ? 16 : 19;
  const today = dateTime(Date.now()).slice(0, 10);
  const day = from.slice(0, 10) === today ? "" : `${from.slice(0, 10)} `;
  return `${day}${from.slice(11, cut)}–${to.slice(11, cut)}`;
}

/** Whether a column of this type holds numbers. */
export function isNumericType(type) {
  return /^(U?(BIG|SMALL|TINY)?INT|INTEGER|U?INT\d+|DOUBLE|FLOAT|REAL|DECIMAL|NUMERIC)/i.test(type ?? "") && !/\[\]$/.test(type);
}

/** Whether a column of this type holds points in time. */
export function isTimeType(type) {
  return /^(TIMESTAMP|DATE)/i.test(type ?? "") && !/\[\]$/.test(type);
}

const RFC3339 = /^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(\.\d+)?Z$/;

/** A value as a table shows it. Only the spelling of times changes: their digits stay. */
export function cell(value) {
  if (value === null || value === undefined) return "";
  if (value instanceof Exact || typeof value === "number") return String(value);
  if (typeof value === "string") {
    const time = RFC3339.exec(value);
    return time ? `${time[1]} ${time[2]}${time[3] ?? ""}` : value;
  }
  if (Array.isArray(value)) return value.map(cell).join(", ");
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

/** As `cell`, but floats rounded to what can be read while they change. */
export function glance(value) {
  const long = typeof value === "number" && !Number.isInteger(value) && String(value).length > 9;
  return long ? String(Number(value.toPrecision(7))) : cell(value);
}

/** A list with repeats folded: `Oslo ×3, Bergen`. At most `most` names, then how many are left out. */
export function tally(list, most = 6) {
  if (!Array.isArray(list)) return cell(list);
  const counts = new Map();
  for (const item of list) counts.set(cell(item), (counts.get(cell(item)) ?? 0) + 1);
  const names = [...counts].map(([name, count]) => (count > 1 ? `${name} ×${count}` : name));
  const shown = names.slice(0, most).join(", ");
  return names.length > most ? `${shown}, +${names.length - most}` : shown;
}
