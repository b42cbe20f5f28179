// Events per second, event latency and view lag: what the server says about itself.

import { TimeChart } from "../chart.js";
import { byId, setText } from "../dom.js";
import { compact, integer, millis } from "../format.js";

const SPARK_SECONDS = 300;

export function loadPanels(metrics) {
  const rate = new TimeChart(byId("events-chart"), { height: 64, bare: true });
  rate.setSeries([{ label: "events/s", colour: 0, fill: 0.16 }]);
  const lag = new TimeChart(byId("lag-chart"), { height: 30, bare: true });
  lag.setSeries([{ label: "lag", colour: 2, fill: 0.16 }]);
  const latency = new TimeChart(byId("latency-chart"), { height: 64, bare: true });
  latency.setSeries([
    { label: "p99", colour: 3 },
    { label: "p95", colour: 1 },
    { label: "first", colour: 0 },
  ]);

  metrics.onChange(() => {
    const events = metrics.latest("events_per_sec");
    setText(byId("events-rate"), events < 100_000 ? integer(events) : compact(events));
    rate.setData(metrics.data(["events_per_sec"], SPARK_SECONDS));

    const first = metrics.has("p50_latency_ms") ? "p50" : "avg";
    setText(byId("latency-first"), first);
    setText(byId("latency-avg"), millis(metrics.latest(`${first}_latency_ms`)));
    setText(byId("latency-p95"), millis(metrics.latest("p95_latency_ms")));
    setText(byId("latency-p99"), millis(metrics.latest("p99_latency_ms")));
    latency.setData(metrics.data(["p99_latency_ms", "p95_latency_ms", `${first}_latency_ms`], SPARK_SECONDS));

    setText(byId("lag-value"), millis(metrics.latest("view_lag_ms")));
    lag.setData(metrics.data(["view_lag_ms"], SPARK_SECONDS));
  });
}
