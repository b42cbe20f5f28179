// The sources that streams read: their state, lag and errors. The panel is there only when there is a source.

import { byId, h, setText } from "../dom.js";
import { integer } from "../format.js";

const PAUSE_MS = 2000;
const MOST_TROUBLES = 5;

export function sourcesPanel(feed) {
  const panel = byId("sources-panel");
  const body = byId("sources-body");
  let before = null;
  let timer = 0;

  async function look() {
    clearTimeout(timer);
    if (!document.hidden && feed.state === "live") {
      try {
        const response = await fetch("/api/v1/sources");
        if (response.ok) show((await response.json()).sources);
      } catch {
        // Unreachable: the connection's state says so.
      }
    }
    timer = setTimeout(look, PAUSE_MS);
  }

  function show(sources) {
    panel.hidden = sources.length === 0;
    const now = { at: performance.now(), messages: new Map(sources.map((s) => [keyOf(s), s.messages])) };
    setText(byId("sources-count"), sources.length > 1 ? String(sources.length) : "");
    body.replaceChildren(
      h(
        "table",
        { class: "data" },
        h("thead", null, h("tr", null, ...["Stream", "From", "State", "Messages/s", "Lag", "Refused", "Batch"].map((name, i) => h("th", { class: i > 2 ? "num" : null, scope: "col" }, name)))),
        h("tbody", null, ...sources.flatMap((source) => rowsOf(source, rate(source, now)))),
      ),
    );
    before = now;
  }

  function rate(source, now) {
    const earlier = before?.messages.get(keyOf(source));
    if (earlier === undefined) return "–";
    return integer(Math.max(0, Math.round(((source.messages - earlier) * 1000) / (now.at - before.at))));
  }

  feed.addEventListener("state", look);
  document.addEventListener("visibilitychange", look);
  look();
}

function keyOf(source) {
  return JSON.stringify([source.database, source.stream]);
}

function rowsOf(source, rate) {
  const name = source.database === "default" ? source.stream : `${source.database}.${source.stream}`;
  const numbers = [rate, source.lag === null ? "–" : integer(source.lag), integer(source.rejected), integer(source.batch_rows)];
  const row = h(
    "tr",
    { "data-testid": `source-${name}`, "data-state": source.state },
    h("td", null, name),
    h("td", { title: source.source }, `${source.kind} ${source.source}`),
    h("td", null, source.state),
    ...numbers.map((text) => h("td", { class: "num" }, text)),
  );
  const stopped = source.partitions.filter((partition) => partition.error);
  const troubles = [
    ...(source.error ? [source.error] : []),
    ...stopped.slice(0, MOST_TROUBLES).map((partition) => `${partition.partition}: ${partition.error}`),
    ...(stopped.length > MOST_TROUBLES ? [`and ${stopped.length - MOST_TROUBLES} partitions more`] : []),
    ...(source.last_rejection ? [`last row refused: ${source.last_rejection}`] : []),
  ];
  return [row, ...troubles.map((text) => h("tr", { class: "trouble" }, h("td", { colspan: "7" }, text)))];
}
