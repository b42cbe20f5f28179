// The SQL panel: runs what is in the box, over HTTP or, when it never ends, over the WebSocket, and
// shows the answer as a table, a plot or an error with its place.

import { SqlError, runSql } from "../api.js";
import { bringUp, byId, h, setText, throttled } from "../dom.js";
import { integer, millis } from "../format.js";
import { LiveRows } from "../panels/view.js";
import { resultTable } from "../table.js";
import { save, toCsv } from "./csv.js";
import { Editor } from "./editor.js";
import { exampleList } from "./examples.js";
import { History } from "./history.js";
import { ResultPlot, plottable } from "./plot.js";
import { runsLive, statements } from "./text.js";

const SHOWN = 1000;
const EXAMPLE = "SHOW STREAMS";
const FACES = ["Table", "Plot"];

export class Console {
  #feed;
  #history = new History();
  #editor;
  #plot = new ResultPlot(byId("sql-plot"));
  #face = FACES[0];
  #result = null;
  #running = null;
  #faceButtons;

  constructor(feed) {
    this.#feed = feed;
    this.#editor = new Editor({
      run: () => this.run(),
      recall: (step) => {
        const text = this.#history.step(step, this.#editor.text);
        if (text !== null) this.#editor.text = text;
      },
      change: (text) => {
        this.#history.draft = text;
      },
    });
    this.#editor.text = this.#history.draft || EXAMPLE;
    byId("sql-run").addEventListener("click", () => this.run());
    byId("sql-stop").addEventListener("click", () => this.stop());
    byId("sql-csv").addEventListener("click", () => this.#download());
    byId("sql-history").addEventListener("change", (event) => this.#recall(event.target));
    this.#faceButtons = FACES.map((face) =>
      h("button", { type: "button", "data-testid": `sql-face-${face.toLowerCase()}`, onclick: () => this.#turn(face) }, face),
    );
    byId("sql-faces").append(...this.#faceButtons);
    this.#listHistory();
    byId("sql-result").append(
      exampleList((text) => {
        this.#editor.text = text;
        this.#history.draft = text;
        this.#editor.focus();
      }),
    );
  }

  /** Puts a statement into the box and runs it. */
  open(sql) {
    this.#editor.text = sql;
    this.#history.draft = sql;
    bringUp(byId("query"));
    this.#start({ sql, start: 0 });
  }

  run() {
    this.#start(this.#editor.runnable());
  }

  stop() {
    this.#running?.stop();
  }

  async #start(run) {
    this.stop();
    const parts = statements(run.sql);
    if (parts.length === 0) return;
    this.#history.add(run.sql);
    this.#listHistory();
    this.#clear();
    const last = parts.at(-1);
    if (!runsLive(last.text)) {
      await this.#once(run);
      return;
    }
    // What comes before a live query (a CREATE, an INSERT) has an end, and goes first.
    const before = { sql: run.sql.slice(0, last.start), start: run.start };
    if (parts.length === 1 || (await this.#once(before))) this.#live({ sql: last.text, start: run.start + last.start });
  }

  /** Runs statements over HTTP; true when they succeeded. */
  async #once(run) {
    const abort = new AbortController();
    const turn = { stop: () => abort.abort() };
    this.#begin(turn);
    const started = performance.now();
    setText(byId("sql-status"), "running");
    try {
      const reply = await runSql(run.sql, abort.signal);
      const total = performance.now() - started;
      if (this.#running !== turn) return false;
      this.#settle(reply, total);
      this.#feed.reached(reply.lsn);
      return true;
    } catch (error) {
      if (this.#running !== turn) return false;
      setText(byId("sql-status"), error.name === "AbortError" ? "stopped" : "");
      if (error.name !== "AbortError") this.#fail(run, error);
      return false;
    } finally {
      if (this.#running === turn) this.#end();
    }
  }

  #live(run) {
    const status = byId("sql-status");
    const body = byId("sql-result");
    const refresh = throttled(() => this.#offer(rows.snapshot()), 500);
    const rows = new LiveRows(body, "sql-table", (text) => {
      setText(status, text);
      refresh();
    });
    const listener = rows.listener();
    let leave = () => {};
    const turn = {
      stop: () => {
        leave();
        if (this.#running === turn) this.#end();
      },
    };
    this.#begin(turn);
    status.dataset.live = "true";
    leave = this.#feed.query(run.sql, {
      ...listener,
      status: (state, detail, error) => {
        if (state !== "error") return listener.status(state, detail);
        turn.stop();
        this.#clear();
        this.#fail(run, new SqlError(error ?? { message: detail }));
      },
    });
  }

  #begin(turn) {
    this.#running = turn;
    byId("sql-stop").hidden = false;
  }

  #end() {
    this.#running = null;
    byId("sql-stop").hidden = true;
    delete byId("sql-status").dataset.live;
  }

  #clear() {
    this.#result = null;
    this.#editor.clearError();
    for (const id of ["sql-error", "sql-note", "sql-plot", "sql-faces", "sql-csv"]) byId(id).hidden = true;
    byId("sql-result").replaceChildren();
    byId("sql-result").hidden = false;
    setText(byId("sql-status"), "");
  }

  #settle(reply, total) {
    const { columns, rows } = reply;
    const place = reply.lsn === undefined || reply.lsn === null ? "" : ` · LSN ${integer(reply.lsn)}`;
    const count = columns.length === 0 ? "done" : `${integer(rows.length)} ${rows.length === 1 ? "row" : "rows"}`;
    setText(byId("sql-status"), `${count} · ${millis(reply.elapsed_ms ?? total)} on the server, ${millis(total)} in all${place}`);
    const notices = [reply.notice, ...(reply.notices ?? []), reply.message].filter(Boolean).map((n) => n.message ?? String(n));
    if (rows.length > SHOWN) notices.push(`The first ${integer(SHOWN)} of ${integer(rows.length)} rows are shown; the CSV has all of them.`);
    byId("sql-note").hidden = notices.length === 0;
    byId("sql-note").replaceChildren(...notices.map((notice) => h("p", null, notice)));
    if (columns.length === 0) return;
    const table = resultTable(columns, rows, SHOWN);
    table.dataset.testid = "sql-table";
    byId("sql-result").replaceChildren(table);
    this.#offer({ columns, rows });
  }

  // What can be done with the rows at hand: save them, and plot them when there is a time.
  #offer(result) {
    this.#result = result;
    byId("sql-csv").hidden = result.columns.length === 0;
    byId("sql-faces").hidden = plottable(result.columns, result.rows) === null;
    this.#turn(this.#face);
  }

  #turn(face) {
    this.#face = face;
    this.#faceButtons.forEach((button, i) => button.setAttribute("aria-pressed", String(FACES[i] === face)));
    const offer = this.#result && plottable(this.#result.columns, this.#result.rows);
    const plotted = face === "Plot" && offer !== null;
    byId("sql-plot").hidden = !plotted;
    byId("sql-result").hidden = plotted;
    if (plotted) this.#plot.show(this.#result.columns, this.#result.rows, offer);
  }

  #fail(run, error) {
    const box = byId("sql-error");
    const placed = Number.isInteger(error.line) && Number.isInteger(error.column);
    box.replaceChildren(
      h("p", { class: "error-message" }, error.message),
      ...(placed ? [excerpt(run.sql, error.line, error.column)] : []),
      ...(error.hint ? [h("p", { class: "error-hint" }, error.hint)] : []),
      h("p", { class: "sub" }, [error.code, placed ? `line ${error.line}, column ${error.column}` : ""].filter(Boolean).join(" · ")),
    );
    box.hidden = false;
    if (placed) this.#editor.markError(run, error.line, error.column);
  }

  #recall(select) {
    const entry = this.#history.entries[Number(select.value)];
    if (entry !== undefined) this.#editor.text = entry;
    select.selectedIndex = 0;
    this.#editor.focus();
  }

  #listHistory() {
    const line = (sql) => sql.replace(/\s+/g, " ").slice(0, 90);
    byId("sql-history").replaceChildren(
      h("option", { value: "" }, "History"),
      ...this.#history.entries.map((sql, i) => h("option", { value: i }, line(sql))),
    );
    byId("sql-history").hidden = this.#history.entries.length === 0;
  }

  #download() {
    if (this.#result) save("tidemill.csv", toCsv(this.#result.columns, this.#result.rows), "text/csv;charset=utf-8");
  }
}

/** The line an error is in, with a mark below its column. */
function excerpt(sql, line, column) {
  const text = sql.split("\n")[line - 1] ?? "";
  const characters = [...text];
  // A long line is cut around the place, so that the mark stays in view.
  const from = Math.max(0, column - 60);
  const shown = characters.slice(from, from + 120).join("");
  const indent = characters.slice(from, column - 1).map((c) => (c === "\t" ? "\t" : " ")).join("");
  return h("pre", { class: "excerpt" }, `${shown}\n${indent}`, h("b", null, "^"));
}
