// One subscription: what it has seen, whether the next frame follows on, and who wants to know.
//
// A listener is an object with any of these functions:
//   columns(columns)          the columns are known: [{name, type}]
//   reset()                   forget all rows; a snapshot follows
//   rows(insert, retract)     changes, as arrays of values in column order; may return false to
//                             say that they don't fit what it holds, which asks for a new snapshot
//   status(state, detail)     waiting | absent | live | gap | error | stopped

const NOTHING = [];
const FIRST_RETRY_MS = 200;
const LONGEST_RETRY_MS = 10_000;

/** The words of an `error` frame, whichever of the two shapes it has. */
export function messageOf(frame) {
  return frame.error?.message ?? frame.message ?? "the server reported an error";
}

export class Channel {
  constructor(name, sql) {
    this.name = name;
    this.sql = sql;
    this.listeners = new Set();
    this.columns = [];
    this.status = "waiting";
    // Whether the server has been asked on the present connection.
    this.asked = false;
    this.#forget();
    this.retries = 0;
    this.retryTimer = 0;
  }

  greeting() {
    this.#forget();
    this.asked = true;
    this.#tell("waiting");
    return this.sql === null
      ? { action: "subscribe", topics: [this.name] }
      : { action: "subscribe", id: this.name, sql: this.sql };
  }

  farewell() {
    return this.sql === null ? { action: "unsubscribe", topics: [this.name] } : { action: "unsubscribe", id: this.name };
  }

  disconnected() {
    this.asked = false;
    clearTimeout(this.retryTimer);
    this.#forget();
  }

  stop() {
    clearTimeout(this.retryTimer);
    this.#tell("stopped");
  }

  /** Asks again after a pause that grows while asking does not help. */
  retry(start) {
    clearTimeout(this.retryTimer);
    const wait = Math.min(LONGEST_RETRY_MS, FIRST_RETRY_MS * 2 ** this.retries);
    this.retries = Math.min(this.retries + 1, 10);
    this.phase = "broken";
    this.retryTimer = setTimeout(start, wait);
  }

  /** The server is complete up to `seq` here, even though nothing changed. */
  heard(seq) {
    if (Number.isFinite(seq)) this.heardSeq = Math.max(this.heardSeq, seq);
  }

  /** Takes a frame of this channel. False asks the caller to subscribe again. */
  take(frame) {
    switch (frame.type) {
      case "subscribed":
        return this.#subscribed(frame);
      case "snapshot":
        return this.#snapshot(frame);
      case "changes":
        return this.#changes(frame);
      case "heartbeat":
        this.heard(Number(frame.seq));
        return true;
      case "gap":
        // The server follows up with a snapshot by itself; until then nothing here is complete.
        this.phase = "gap";
        this.#tell("gap", frame.reason ?? frame.message);
        return true;
      case "error":
        this.#tell("error", messageOf(frame), frame.error);
        // A query that is wrong stays wrong; a topic may come right.
        return this.sql !== null;
      case "closing":
        this.#tell("error", frame.reason ?? frame.message ?? "the server ended this subscription");
        return this.sql !== null;
      default:
        return true;
    }
  }

  #forget() {
    this.phase = "new";
    this.epoch = null;
    this.seq = -1;
    this.heardSeq = -1;
  }

  #subscribed(frame) {
    this.phase = "subscribed";
    this.#place(frame);
    if (!this.#named(frame)) this.#tell("absent", frame.notice ?? frame.notices?.[0]);
    return true;
  }

  // Columns come with `subscribed`, or with the first snapshot of a topic that did not exist before.
  #named(frame) {
    const columns = (frame.columns ?? NOTHING).map((c) => (typeof c === "string" ? { name: c, type: "" } : c));
    if (columns.length === 0) return false;
    this.columns = columns;
    for (const listener of this.listeners) listener.columns?.(columns, frame.key ?? null);
    return true;
  }

  #snapshot(frame) {
    if (this.phase === "broken" || this.phase === "new") return true;
    if (this.phase !== "snapshot") for (const listener of this.listeners) listener.reset?.();
    this.phase = "snapshot";
    this.#place(frame);
    this.#named(frame);
    const sound = this.#deliver(frame.rows ?? NOTHING, NOTHING);
    if (frame.done === false) return sound;
    this.phase = "live";
    this.retries = 0;
    this.#tell("live");
    return sound;
  }

  #changes(frame) {
    // Frames between a gap (or a new request) and its snapshot belong to a state that is given up.
    if (this.phase !== "live" && this.phase !== "subscribed") return true;
    // An epoch may be any 64-bit number, and then it is no plain number here: its text is what counts.
    const prev = Number(frame.prev);
    const follows = prev >= this.seq && prev <= Math.max(this.seq, this.heardSeq);
    if (String(frame.epoch) !== String(this.epoch) || !follows) {
      this.#tell("gap", "a frame was missed");
      return false;
    }
    if (this.phase === "subscribed") {
      this.phase = "live";
      this.#tell("live");
    }
    this.#place(frame);
    return this.#deliver(frame.insert ?? NOTHING, frame.retract ?? NOTHING);
  }

  #place(frame) {
    if (frame.epoch !== undefined) this.epoch = frame.epoch;
    const seq = Number(frame.seq ?? NaN);
    if (Number.isFinite(seq)) {
      this.seq = seq;
      this.heard(seq);
    }
  }

  #deliver(insert, retract) {
    const inserted = insert.map((row) => this.#positional(row));
    const retracted = retract.map((row) => this.#positional(row));
    let sound = true;
    for (const listener of this.listeners) {
      if (listener.rows?.(inserted, retracted) === false) sound = false;
    }
    return sound;
  }

  // Rows are arrays in column order; an object by name means the same.
  #positional(row) {
    return Array.isArray(row) ? row : this.columns.map((column) => row[column.name] ?? null);
  }

  #tell(status, detail, error) {
    this.status = status;
    for (const listener of this.listeners) listener.status?.(status, detail, error);
  }
}
