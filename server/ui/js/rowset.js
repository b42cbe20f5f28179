// The folded state of a changelog: which rows stand after all inserts and retracts so far.
// Rows are a multiset, told apart by their whole text, so no key needs to be known.

/** Past this many distinct rows new ones are counted but not kept, so a huge view cannot fill the page's memory. */
export const KEPT_ROWS = 100_000;

export class RowSet {
  constructor(limit = KEPT_ROWS) {
    this.limit = limit;
    this.clear();
  }

  /** Forgets everything, before a snapshot. */
  clear() {
    this.rows = new Map();
    this.size = 0;
    this.overflowed = false;
  }

  /**
   * Takes one frame's changes: retracts first, as they name rows of the state before the frame.
   * Returns false when a retract names a row that is not there: then the state can't be trusted
   * and the subscriber must ask for a new snapshot.
   */
  apply(insert, retract) {
    let sound = true;
    for (const row of retract) if (!this.#remove(row)) sound = false;
    for (const row of insert) this.#add(row);
    return sound;
  }

  /** The distinct rows, in the order they came. */
  *[Symbol.iterator]() {
    for (const entry of this.rows.values()) yield entry.row;
  }

  #add(row) {
    const text = JSON.stringify(row);
    const entry = this.rows.get(text);
    this.size += 1;
    if (entry) entry.count += 1;
    else if (this.rows.size < this.limit) this.rows.set(text, { row, count: 1 });
    else this.overflowed = true;
  }

  #remove(row) {
    const text = JSON.stringify(row);
    const entry = this.rows.get(text);
    if (!entry) {
      if (!this.overflowed) return false;
      this.size -= 1;
      return true;
    }
    this.size -= 1;
    entry.count -= 1;
    if (entry.count === 0) this.rows.delete(text);
    return true;
  }
}
