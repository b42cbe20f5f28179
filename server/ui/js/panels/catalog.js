// The streams and views there are, with the rows in each stream. Looked up again when the log has moved on.

import { listStreams, quoteName, runSql } from "../api.js";
import { byId, copyLine, h, setText } from "../dom.js";
import { integer } from "../format.js";

const LEAST_PAUSE_MS = 1000;
const OWN_DATABASE = "default";

export class Catalog {
  #open;
  #busy = false;
  #again = false;
  #counts = new Map();
  #shown = null;

  /** `open.stream(sqlName)` and `open.view(name)` are called when one is chosen. */
  constructor(feed, open) {
    this.#open = open;
    feed.addEventListener("progress", () => this.refresh());
    feed.addEventListener("state", () => {
      if (feed.state === "live") this.refresh();
    });
    document.addEventListener("visibilitychange", () => this.refresh());
    this.refresh();
  }

  /** Looks again; calls while a look is under way lead to one more after it. */
  async refresh() {
    if (this.#busy || document.hidden) {
      this.#again = true;
      return;
    }
    this.#busy = true;
    this.#again = false;
    // Unreachable or starting: the connection's state says so, and the next progress asks again.
    await Promise.allSettled([this.#streams(), this.#views()]);
    setTimeout(() => {
      this.#busy = false;
      if (this.#again) this.refresh();
    }, LEAST_PAUSE_MS);
  }

  async #streams() {
    const streams = await listStreams();
    const entries = streams.map(({ database, name }) =>
      database === OWN_DATABASE ? { name, sql: quoteName(name) } : { name: `${database}.${name}`, sql: `${quoteName(database)}.${quoteName(name)}` },
    );
    this.#list("stream", byId("streams"), byId("streams-count"), entries);
    streams.forEach(({ rows }, i) => setText(this.#counts.get(entries[i].name), integer(rows)));
    setText(byId("events-total"), integer(streams.reduce((total, stream) => total + stream.rows, 0)));
  }

  async #views() {
    const { columns, rows } = await runSql("SHOW VIEWS");
    const at = Math.max(0, columns.findIndex((column) => /^(view_)?name$/i.test(column.name)));
    const entries = rows.map((row) => ({ name: String(row[at]), sql: String(row[at]) }));
    this.#list("view", byId("views"), byId("views-count"), entries);
    this.mark(this.#shown);
  }

  /** Marks the view whose panel is open, or none. */
  mark(view) {
    this.#shown = view;
    for (const button of byId("views").querySelectorAll("button")) {
      if (button.title === view) button.setAttribute("aria-current", "true");
      else button.removeAttribute("aria-current");
    }
  }

  #list(kind, list, count, entries) {
    setText(count, entries.length > 0 ? String(entries.length) : "");
    const wanted = entries.map(({ name }) => `${kind} ${name}`);
    const present = [...list.querySelectorAll("[data-key]")].map((item) => item.dataset.key);
    // The empty state has a command to select and copy, so it is not built anew at every look either.
    if (list.childElementCount > 0 && wanted.join("\n") === present.join("\n")) return;
    if (wanted.length === 0) {
      list.replaceChildren(h("li", { class: "none" }, kind === "stream" ? firstStream() : "None yet"));
      return;
    }
    list.replaceChildren(...entries.map((entry) => this.#item(kind, entry)));
  }

  #item(kind, { name, sql }) {
    const rows = kind === "stream" ? h("span", { class: "num rows", "data-testid": `stream-count-${name}` }) : null;
    const button = h(
      "button",
      { type: "button", "data-testid": `${kind}-item-${name}`, title: name, onclick: () => this.#open[kind](sql) },
      h("span", { class: "name" }, name),
      rows,
    );
    if (rows) this.#counts.set(name, rows);
    return h("li", { "data-key": `${kind} ${name}` }, button);
  }
}

/** A command that makes a first stream on this very server. */
function firstStream() {
  const event = JSON.stringify({ user_id: 7, amount: 12.5, city: "Oslo", timestamp: new Date().toISOString() });
  const command = `curl '${location.origin}/api/v1/ingest/purchases?create=true' -H 'content-type: application/json' -d '${event}'`;
  return h("div", null, h("p", null, "None yet. Post a first event:"), copyLine(command));
}
