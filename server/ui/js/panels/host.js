// The host's CPU, memory, disk and network: second by second from `dashboard:metrics`, and before this
// page was opened from the view `host_metrics`, ten seconds a point.

import { TimeChart } from "../chart.js";
import { byId, setText, throttled } from "../dom.js";
import { byteRate, bytes, percent, toMillis } from "../format.js";
import { KEPT_SECONDS } from "../metrics.js";

const whole = (value) => (Number.isFinite(value) ? `${Math.round(value)} %` : "–");

// `pattern` finds the averaged column in the view, whose names are up to whoever created it.
const CHARTS = [
  { id: "host-cpu-chart", format: whole, ceiling: 100, lines: [{ name: "cpu_percent", label: "CPU", pattern: /cpu/i, fill: 0.14 }] },
  { id: "host-memory-chart", format: whole, ceiling: 100, lines: [{ name: "memory_percent", label: "used", pattern: /mem.*(percent|pct)/i, fill: 0.14 }] },
  {
    id: "host-disk-chart",
    format: byteRate,
    lines: [
      { name: "disk_read_bytes_per_sec", label: "read", pattern: /disk.*read/i },
      { name: "disk_write_bytes_per_sec", label: "write", pattern: /disk.*writ/i },
    ],
  },
  {
    id: "host-network-chart",
    format: byteRate,
    lines: [
      { name: "net_rx_bytes_per_sec", label: "in", pattern: /net.*(rx|recv|in)/i },
      { name: "net_tx_bytes_per_sec", label: "out", pattern: /net.*(tx|sent|out)/i },
    ],
  },
];

export function hostPanels(feed, metrics) {
  const charts = CHARTS.map(({ id, format, ceiling, lines }) => {
    const chart = new TimeChart(byId(id), { height: 120, format, ceiling });
    chart.setSeries(lines.map(({ label, fill }, i) => ({ label, colour: i, fill })));
    return { chart, lines };
  });
  const past = new Past(feed, throttled(draw, 1000));
  metrics.onChange(draw);

  function draw() {
    setText(byId("host-cpu"), percent(metrics.latest("cpu_percent")));
    const used = metrics.latest("memory_used_bytes");
    setText(byId("host-memory"), used === null ? percent(metrics.latest("memory_percent")) : bytes(used));
    for (const { chart, lines } of charts) chart.setData(join(past, metrics, lines));
  }
}

/** Points of the view up to where the page's own record begins, then that record. */
function join(past, metrics, lines) {
  const recent = metrics.data(lines.map((line) => line.name));
  const end = Math.min(metrics.start(), Date.now() / 1000);
  const from = (recent[0].at(-1) ?? end) - KEPT_SECONDS;
  const older = past.data(lines, from, end);
  return recent.map((column, i) => older[i].concat(column));
}

/** The last rows of `view:host_metrics`, by the start of their window. */
class Past {
  #columns = [];
  #rows = new Map();

  constructor(feed, changed) {
    feed.subscribe("view:host_metrics", {
      columns: (columns) => {
        this.#columns = columns.map((column) => column.name);
      },
      reset: () => this.#rows.clear(),
      rows: (insert) => {
        const at = this.#columns.indexOf("window_start");
        for (const row of insert) this.#rows.set(toMillis(row[at]) / 1000, row);
        const oldest = Date.now() / 1000 - KEPT_SECONDS;
        for (const time of this.#rows.keys()) if (!(time >= oldest)) this.#rows.delete(time);
        changed();
      },
    });
  }

  data(lines, from, end) {
    const times = [...this.#rows.keys()].filter((time) => time >= from && time < end).sort((a, b) => a - b);
    const columns = lines.map(({ pattern }) => {
      const at = this.#columns.findIndex((name) => pattern.test(name));
      return times.map((time) => (at < 0 ? null : Number(this.#rows.get(time)[at] ?? NaN)));
    });
    return [times, ...columns];
  }
}
