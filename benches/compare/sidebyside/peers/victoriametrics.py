"""VictoriaMetrics, single node: line protocol in, MetricsQL out.

A field becomes a metric `cpu_<field>`, a row ten samples; times are whole milliseconds.
"""

import json
import time

from ..answers import from_matrix
from ..dialects import metricsql
from ..process import Failed
from ..tsbs import FIELDS, NS
from .base import Peer, cache, quoted, run_installer

# 2033, with a window back to 2011: holds any data set here. A window that begins before 1970 is empty.
ALL = {"time": 2_000_000_000, "window": "8000d"}


class VictoriaMetrics(Peer):
    name = "victoriametrics"
    promise = "in memory; visible later"
    write_path = "/write?db=benchmark&precision=ns"

    def install(self):
        run_installer("victoriametrics")

    def command(self):
        binary = cache() / "bin" / "victoria-metrics"
        if not binary.exists():
            raise Failed(f"no {binary}")
        # The data is years old, and whole-table sums are asked for: both need limits lifted.
        return [
            str(binary),
            f"-storageDataPath={self.folder}",
            f"-httpListenAddr=127.0.0.1:{self.port}",
            "-retentionPeriod=100y",
            "-search.maxSamplesPerQuery=4000000000",
            "-search.maxSamplesPerSeries=1000000000",
            "-search.maxQueryDuration=600s",
            "-search.maxUniqueTimeseries=2000000",
        ], {}

    def ping(self):
        self.http.expect("GET", "/health")

    def flush(self):
        self.http.expect("GET", "/internal/force_flush")
        self.http.expect("GET", "/internal/force_merge")
        # The merge goes on behind the reply; a gauge counts those at work.
        limit = time.monotonic() + 120
        while time.monotonic() < limit:
            lines = self.http.expect("GET", "/metrics").decode().splitlines()
            if "vm_active_force_merges 0" in lines:
                return
            time.sleep(0.2)
        raise Failed("the forced merge did not end in 120 s")

    def _scalar(self, expression):
        path = "/api/v1/query?" + quoted(query=expression, time=ALL["time"], step="1s", nocache=1, timeout="600s")
        result = json.loads(self.http.expect("GET", path))["data"]["result"]
        return float(result[0]["value"][1]) if result else 0.0

    def _over_all(self, function, field):
        return self._scalar(f"sum({function}(cpu_{field}[{ALL['window']}]))")

    def totals(self):
        self.http.expect("GET", "/internal/force_flush")
        # Rows are no notion here: only values can be counted and summed.
        sums, counts = (
            {name: round(self._over_all(function, name)) for name in FIELDS}
            for function in ("sum_over_time", "count_over_time")
        )
        return None, sums, counts

    def shows(self, rows, sums):
        return round(self._over_all("sum_over_time", FIELDS[0])) == sums[FIELDS[0]]

    def span(self):
        first = self._scalar(f"min(tfirst_over_time(cpu_{FIELDS[0]}[{ALL['window']}]))")
        last = self._scalar(f"max(tlast_over_time(cpu_{FIELDS[0]}[{ALL['window']}]))")
        return round(first) * NS, round(last) * NS

    def newest(self):
        # Order is no matter here, and asking for it would scan everything.
        return 1_451_606_400 * NS

    def sees(self, host, at):
        path = "/api/v1/export?" + quoted(
            **{"match[]": f'cpu_{FIELDS[0]}{{hostname="{host}"}}', "start": at / NS, "end": at / NS}
        )
        return bool(self.http.expect("GET", path).strip())

    def can_ask(self, query):
        return metricsql(query) is not None

    def ask(self, query):
        expression, start, end, step = metricsql(query)
        path = "/api/v1/query_range?" + quoted(query=expression, start=start, end=end, step=f"{step}s", nocache=1)
        return self.http.expect("GET", path)

    def read(self, query, raw):
        step = query.type.bucket // NS
        return from_matrix(json.loads(raw)["data"]["result"], step, query.fields, query.type.shape)
