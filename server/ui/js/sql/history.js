// Queries that were run, newest first, kept in the browser.

const KEY = "tidemill.sql.history";
const DRAFT = "tidemill.sql.draft";
const KEPT = 100;
// A pasted megabyte is not something to recall, and storage has room for only a few.
const LONGEST = 20_000;

function read(key) {
  try {
    return localStorage.getItem(key);
  } catch {
    // Storage can be switched off; then there is no history, and nothing else is lost.
    return null;
  }
}

function write(key, value) {
  try {
    localStorage.setItem(key, value);
  } catch {
    // Full or switched off, as above.
  }
}

export class History {
  #entries;
  #at = -1;
  #unsent = "";

  constructor() {
    try {
      const stored = JSON.parse(read(KEY) ?? "[]");
      this.#entries = Array.isArray(stored) ? stored.filter((entry) => typeof entry === "string").slice(0, KEPT) : [];
    } catch {
      this.#entries = [];
    }
  }

  get entries() {
    return this.#entries;
  }

  /** Puts a query that is being run on top; an older copy of it goes. */
  add(sql) {
    const text = sql.trim();
    this.#at = -1;
    if (text === "" || text.length > LONGEST) return;
    this.#entries = [text, ...this.#entries.filter((entry) => entry !== text)].slice(0, KEPT);
    write(KEY, JSON.stringify(this.#entries));
  }

  /** Steps to an older (-1) or newer (1) entry; past the newest is what stood in the box before. */
  step(direction, current) {
    const next = this.#at - direction;
    if (next < -1 || next >= this.#entries.length) return null;
    if (this.#at === -1) this.#unsent = current;
    this.#at = next;
    return next === -1 ? this.#unsent : this.#entries[next];
  }

  get draft() {
    return read(DRAFT) ?? "";
  }

  set draft(text) {
    if (text.length <= LONGEST) write(DRAFT, text);
  }
}
