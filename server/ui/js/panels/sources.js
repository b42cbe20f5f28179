// What streams read and what sinks send: state, lag and errors. The panel is there only when there is a source or a sink.

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
        if (response.ok) show(await response.json());
      } catch {
        // Unreachable: the connection's state says so.
      }
    }
    timer = setTimeout(look, PAUSE_MS);
  }

  function show({ sources, sinks, pressure, queued_requests: queued }) {
    panel.hidden = sources.length + sinks.length === 0;
    const waiting = queued > 0 ? ` · ${integer(queued)} waiting for the log` : "";
    setText(byId("sources-pressure"), `write buffer ${Math.round(pressure * 100)} %${consequence(pressure)}${waiting}`);
    const now = { at: performance.now(), messages: new Map(sources.map((s) => [keyOf(s), s.messages])) };
    setText(byId("sources-count"), sources.length > 1 ? String(sources.length) : "");
    const tables = [];
    if (sources.length > 0) {
      tables.push(table(["Stream", "From", "State", "Messages/s", "Lag", "Refused", "Batch", "Commit ms"], sources.flatMap((source) => rowsOf(source, rate(source, now)))));
    }
    if (sinks.length > 0) {
      tables.push(table(["Sink", "To", "State", "Records", "Lag"], sinks.flatMap(rowsOfSink)));
    }
    body.replaceChildren(...tables);
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

// What the server does when its write buffer is so full.
function consequence(pressure) {
  if (pressure >= 0.9) return ": sources pause";
  if (pressure >= 0.8) return ": rows of low priority are left out";
  return "";
}

function table(names, rows) {
  const heads = names.map((name, i) => h("th", { class: i > 2 ? "num" : null, scope: "col" }, name));
  return h("table", { class: "data" }, h("thead", null, h("tr", null, ...heads)), h("tbody", null, ...rows));
}

function named(database, name) {
  return database === "default" ? name : `${database}.${name}`;
}

function trouble(text, columns) {
  return h("tr", { class: "trouble" }, h("td", { colspan: String(columns) }, text));
}

function rowsOfSink(sink) {
  const name = named(sink.database, sink.name);
  const row = h(
    "tr",
    { "data-testid": `sink-${name}`, "data-state": sink.state },
    h("td", null, name),
    h("td", { title: sink.from }, `kafka ${sink.topic}`),
    h("td", null, sink.state),
    h("td", { class: "num" }, integer(sink.records)),
    h("td", { class: "num" }, integer(sink.lag)),
  );
  return sink.error ? [row, trouble(sink.error, 5)] : [row];
}

function keyOf(source) {
  return JSON.stringify([source.database, source.stream]);
}

function rowsOf(source, rate) {
  const name = named(source.database, source.stream);
  const lag = source.lag === null ? "–" : integer(source.lag);
  const numbers = [rate, lag, integer(source.rejected), integer(source.batch_rows), source.commit_ms.toFixed(1)];
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
  return [row, ...troubles.map((text) => trouble(text, 8))];
}
