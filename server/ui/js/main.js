// Puts the page together: one feed, the panels that listen to it, the catalog and the SQL box.

import { byId, setText } from "./dom.js";
import { Feed } from "./feed.js";
import { dateTime, integer, toMillis } from "./format.js";
import { Metrics } from "./metrics.js";
import { Catalog } from "./panels/catalog.js";
import { flightsPanel } from "./panels/flights.js";
import { fraudPanel } from "./panels/fraud.js";
import { hostPanels } from "./panels/host.js";
import { loadPanels } from "./panels/load.js";
import { sourcesPanel } from "./panels/sources.js";
import { viewPanel } from "./panels/view.js";
import { Console } from "./sql/console.js";

const NOTICE_MS = 15_000;

const feed = new Feed(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws`);
const metrics = new Metrics(feed);

const sql = new Console(feed);
const openView = viewPanel(
  feed,
  (text) => sql.open(text),
  (name) => catalog.mark(name),
);
const catalog = new Catalog(feed, {
  stream: (name) => sql.open(`SELECT * FROM ${name} LIMIT 100`),
  view: openView,
});
loadPanels(metrics);
hostPanels(feed, metrics);
flightsPanel(feed);
fraudPanel(feed);
sourcesPanel(feed);

feed.addEventListener("state", ({ detail }) => {
  const pill = byId("connection");
  pill.dataset.state = feed.state;
  document.body.dataset.link = feed.state;
  const words = { connecting: "connecting", live: "live", lost: "reconnecting", closing: "server is stopping" };
  setText(pill, words[feed.state]);
  pill.title = feed.state === "lost" ? `next try in ${(detail / 1000).toFixed(1)} s` : "";
});

feed.addEventListener("progress", () => {
  setText(byId("lsn"), feed.lsn === null ? "–" : integer(feed.lsn));
  const marks = [...feed.watermarks].map(([topic, mark]) => [topic || "server", toMillis(mark)]);
  // Streams live in different times (a replay of 2001 beside today's host): the furthest is shown, all are in the tip.
  const furthest = marks.reduce((most, [, ms]) => Math.max(most, ms), -Infinity);
  setText(byId("watermark"), dateTime(furthest));
  byId("watermark-box").title = marks.map(([topic, ms]) => `${topic}: ${dateTime(ms)}`).join("\n");
});

// An error that names no subscription concerns the whole page.
let noticeTimer = 0;
feed.addEventListener("fault", ({ detail }) => {
  const notice = byId("notice");
  setText(notice, detail);
  notice.hidden = false;
  clearTimeout(noticeTimer);
  noticeTimer = setTimeout(() => {
    notice.hidden = true;
  }, NOTICE_MS);
});

feed.open();
