// The fraud view: who bought much in many cities within an hour. A row is a user in a window.

import { byId, emptyState, setText, throttled } from "../dom.js";
import { cell, integer, span, tally, toMillis } from "../format.js";
import { RowSet } from "../rowset.js";
import { LiveTable } from "../table.js";

const SHOWN = 200;

export function fraudPanel(feed) {
  const set = new RowSet();
  const table = new LiveTable({ "data-testid": "fraud-table" });
  const body = byId("fraud-body");
  const absent = emptyState("No fraud view yet", "The demo plants a few fraudsters among its purchases and creates this view.", "tidemill demo");
  const quietState = emptyState("Nothing suspicious", "Rows appear as soon as a user buys 5 times or more in 3 cities or more within an hour.");
  let find = null;
  let fresh = true;
  const draw = throttled(show, 200);
  show();

  feed.subscribe("view:fraud", {
    columns(columns) {
      const at = (name) => columns.findIndex((column) => column.name.toLowerCase() === name);
      find = {
        user: at("user_id"),
        purchases: at("purchase_count"),
        count: at("city_count"),
        cities: at("cities"),
        start: at("window_start"),
        end: at("window_end"),
      };
      const column = (label, kind, value, show) => ({ label, kind, value, show: (row) => show(value(row)) });
      table.setColumns(
        [
          column("User", "num", (row) => row[find.user], cell),
          column("Buys", "num", (row) => row[find.purchases], integer),
          column("Cities", "num", (row) => row[find.count], integer),
          { label: "Window", kind: "time", value: (row) => row[find.start], show: when },
          column("Where", "text", (row) => row[find.cities], tally),
        ],
        (row) => `${row[find.user]} ${row[find.start]} ${row[find.end]}`,
      );
      draw();
    },
    reset() {
      set.clear();
      fresh = true;
    },
    rows(insert, retract) {
      const sound = set.apply(insert, retract);
      draw();
      return sound;
    },
  });

  function when(row) {
    return span(toMillis(row[find.start]), toMillis(row[find.end]));
  }

  function show() {
    const state = !find ? absent : set.size === 0 ? quietState : table.element;
    if (body.firstChild !== state) body.replaceChildren(state);
    setText(byId("fraud-count"), find ? `${integer(set.size)} ${set.size === 1 ? "row" : "rows"}` : "");
    if (!find) return;
    const end = (row) => toMillis(row[find.end]);
    const rows = [...set].sort((a, b) => end(b) - end(a) || Number(b[find.purchases]) - Number(a[find.purchases]) || Number(a[find.user]) - Number(b[find.user]));
    table.render(rows.slice(0, SHOWN), fresh);
    fresh = false;
  }
}
