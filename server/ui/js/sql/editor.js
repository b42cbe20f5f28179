// The SQL box: a plain textarea, for every way of typing there is, over a coloured copy of its text.

import { byId, h } from "../dom.js";
import { offsetOf, tokens } from "./text.js";

const COLOURED_CHARACTERS = 20_000;
const INDENT = "  ";

export class Editor {
  #input = byId("sql-input");
  #colours = byId("sql-colours");
  #mark = null;

  /** `run()` is called on Ctrl-Enter, `recall(step)` on Alt and an arrow, -1 being older. */
  constructor({ run, recall, change }) {
    this.#input.addEventListener("input", () => {
      this.#mark = null;
      this.#paint();
      change(this.text);
    });
    this.#input.addEventListener("scroll", () => this.#follow());
    this.#input.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
        event.preventDefault();
        run();
      } else if (event.altKey && (event.key === "ArrowUp" || event.key === "ArrowDown")) {
        event.preventDefault();
        recall(event.key === "ArrowUp" ? -1 : 1);
      } else if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
        this.#keepIndent(event);
      }
    });
    document.addEventListener("keydown", (event) => {
      const typing = event.target.closest?.("input, textarea, select, [contenteditable]");
      if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      this.focus();
    });
  }

  get text() {
    return this.#input.value;
  }

  set text(value) {
    this.#input.value = value;
    this.#mark = null;
    this.#paint();
  }

  /** What runs: the selection when there is one, else everything. `start` is its offset in the box. */
  runnable() {
    const { selectionStart: from, selectionEnd: to, value } = this.#input;
    const selected = document.activeElement === this.#input && value.slice(from, to).trim() !== "";
    return selected ? { sql: value.slice(from, to), start: from } : { sql: value, start: 0 };
  }

  focus() {
    this.#input.focus();
    this.#input.scrollIntoView({ block: "nearest" });
  }

  /** Underlines the token at a 1-based place within `run`, and puts the cursor there. */
  markError(run, line, column) {
    const at = run.start + offsetOf(run.sql, line, column);
    this.#mark = Math.min(at, Math.max(0, this.text.length - 1));
    this.#paint();
    if (document.activeElement === this.#input) this.#input.setSelectionRange(at, at);
  }

  clearError() {
    if (this.#mark === null) return;
    this.#mark = null;
    this.#paint();
  }

  #paint() {
    const text = this.text;
    if (text.length > COLOURED_CHARACTERS) {
      this.#colours.replaceChildren(text, "\n");
    } else {
      const pieces = tokens(text).map((token) => {
        const hit = this.#mark !== null && this.#mark >= token.start && this.#mark < token.start + token.text.length;
        return hit || !["space", "mark", "name"].includes(token.kind)
          ? h("span", { class: hit ? `t-${token.kind} t-error` : `t-${token.kind}` }, token.text)
          : token.text;
      });
      // A last empty line has height in a textarea, but in a <pre> only when something follows it.
      this.#colours.replaceChildren(...pieces, "\n");
    }
    this.#fit();
    this.#follow();
  }

  #fit() {
    const lines = this.text.split("\n").length;
    this.#input.rows = Math.min(16, Math.max(5, lines + 1));
  }

  #follow() {
    this.#colours.scrollTop = this.#input.scrollTop;
    this.#colours.scrollLeft = this.#input.scrollLeft;
  }

  #keepIndent(event) {
    const { selectionStart, value } = this.#input;
    const line = value.slice(value.lastIndexOf("\n", selectionStart - 1) + 1, selectionStart);
    const indent = /^\s*/.exec(line)[0] + (/\($/.test(line) ? INDENT : "");
    if (indent === "") return;
    event.preventDefault();
    this.#input.setRangeText(`\n${indent}`, selectionStart, this.#input.selectionEnd, "end");
    this.#input.dispatchEvent(new Event("input"));
  }
}
