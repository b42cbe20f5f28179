// The streams and views there are, with the rows in each stream. Looked up again when the log has moved on.

import { quoteName, runSql } from "../api.js";
import { byId, copyLine, h, setText } from "../dom.js";
import { integer } from "../format.js";

const LEAST_PAUSE_MS = 1000;
// Counting is a query per stream where the server gives no counts; past this many streams it is left out.
const COUNTED_STREAMS = 40;

export class Catalog {
  #open;
  #busy = false;
  #again = false;
  #items = new Map();
  #shown = null;

  /** `open.stream(name)` and `open.view(name)` are called when one is chosen. */
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
    try {
      const [streams, views] = await Promise.all([runSql("SHOW STREAMS"), runSql("SHOW VIEWS")]);
      const named = table(streams);
      this.#list("stream", byId("streams"), byId("streams-count"), named);
      this.#list("view", byId("views"), byId("views-count"), table(views));
      await this.#count(named);
    } catch {
      // Unreachable or starting: the connection's state says so, and the next progress asks again.
    }
    setTimeout(() => {
      this.#busy = false;
      if (this.#again) this.refresh();
    }, LEAST_PAUSE_MS);
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
    if (wanted.length > 0 && wanted.join("\n") === present.join("\n")) return;
    if (wanted.length === 0) {
      list.replaceChildren(h("li", { class: "none" }, kind === "stream" ? firstStream() : "None yet"));
      return;
    }
    list.replaceChildren(...entries.map((entry) => this.#item(kind, entry.name)));
    this.mark(this.#shown);
  }

  #item(kind, name) {
    const rows = kind === "stream" ? h("span", { class: "num rows", "data-testid": `stream-count-${name}` }) : null;
    const button = h(
      "button",
      { type: "button", "data-testid": `${kind}-item-${name}`, title: name, onclick: () => this.#open[kind](name) },
      h("span", { class: "name" }, name),
      rows,
    );
    this.#items.set(name, rows);
    return h("li", { "data-key": `${kind} ${name}` }, button);
  }

  async #count(streams) {
    let total = 0;
    for (const { name, rows } of streams.slice(0, COUNTED_STREAMS)) {
      const counted = rows ?? (await runSql(`SELECT COUNT(*) FROM ${quoteName(name)}`)).rows[0]?.[0];
      total += Number(counted ?? 0);
      const element = this.#items.get(name);
      if (element) setText(element, integer(counted));
    }
    setText(byId("events-total"), integer(total));
  }
}

/** Names, and row counts where the server gives them. */
function table({ columns, rows }) {
  const at = (...names) => columns.findIndex((column) => names.includes(column.name.toLowerCase()));
  const name = Math.max(0, at("name", "stream", "view", "stream_name", "view_name"));
  const count = at("rows", "row_count", "count");
  return rows.map((row) => ({ name: String(row[name]), rows: count < 0 ? null : row[count] }));
}

/** A command that makes a first stream on this very server. */
function firstStream() {
  const event = JSON.stringify({ user_id: 7, amount: 12.5, city: "Oslo", timestamp: new Date().toISOString() });
  const command = `curl '${location.origin}/api/v1/ingest/purchases?create=true' -H 'content-type: application/json' -d '${event}'`;
  return h("div", null, h("p", null, "None yet. Post a first event:"), copyLine(command));
}
