// JSON in which numbers keep their digits. A BIGINT past 2^53 or a DECIMAL such as 12.50 would
// lose something as a plain JavaScript number, and a table must show what the database holds.

/** A number that prints as it was written and counts as the nearest double. */
export class Exact {
  constructor(text) {
    this.text = text;
  }
  valueOf() {
    return Number(this.text);
  }
  toString() {
    return this.text;
  }
  toJSON() {
    return this.text;
  }
}

// Reviving costs about a microsecond a value; past this many characters speed matters more.
const REVIVE_LIMIT = 16_000_000;

// What any number that a double cannot give back has: sixteen digits, a last zero behind the point, or an exponent.
const DELICATE = /\d[\d.]{15}|\.\d*0(?!\d)|\d[eE][+-]?\d/;

function revive(_key, value, context) {
  if (typeof value !== "number" || !context) return value;
  return String(value) === context.source ? value : new Exact(context.source);
}

/** Parses JSON text; numbers whose text a double cannot give back become `Exact`. */
export function parseExact(text) {
  const careful = text.length <= REVIVE_LIMIT && DELICATE.test(text);
  return careful ? JSON.parse(text, revive) : JSON.parse(text);
}

/** Whether a value is a number of either kind. */
export function isNumber(value) {
  return typeof value === "number" || value instanceof Exact;
}
