"""OpenTelemetry's SDK for Python with its OTLP exporter over HTTP (protobuf, gzip): each kind of instrument."""
# needs: python

from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.metrics import Observation
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource

from tidemill_sql import URL, fail, rows, want

exporter = OTLPMetricExporter(
    endpoint=f"{URL}/v1/metrics?db=otlp_case",
    compression=Compression.Gzip,
    preferred_temporality={Counter: AggregationTemporality.DELTA},
)
reader = PeriodicExportingMetricReader(exporter, export_interval_millis=3_600_000)
provider = MeterProvider(
    metric_readers=[reader],
    resource=Resource({"service.name": "shop", "replica": 3, "zones": ["a", "b"]}),
    views=[View(instrument_type=Histogram, instrument_name="size", aggregation=ExponentialBucketHistogramAggregation())],
)
meter = provider.get_meter("client.case", "1.0")
requests = meter.create_counter("http.requests", unit="1", description="Requests.")
open_now = meter.create_up_down_counter("open")
seconds = meter.create_histogram("duration", unit="s", explicit_bucket_boundaries_advisory=[0.1, 1.0])
size = meter.create_histogram("size")
meter.create_observable_gauge("temperature", callbacks=[lambda _: [Observation(21.5, {"room": "hall"})]])

for i in range(10):
    requests.add(i, {"method": "GET"})
    open_now.add(1)
    seconds.record(i / 5)
    size.record(2.0**i)
if not provider.force_flush():
    fail("the first export failed")
requests.add(5, {"method": "GET"})
requests.add(7, {"method": "POST"})
open_now.add(-4)
if not provider.force_flush():
    fail("the second export failed")
provider.shutdown()

# Deltas add up; the SDK exports once more when it is shut down.
want('SELECT method, sum(value) FROM otlp_case."http.requests" GROUP BY method ORDER BY method', [["GET", 50], ["POST", 7]])
want('SELECT DISTINCT "service.name", replica, zones, "otel.scope.name", "otel.scope.version", "otel.temporality",'
     ' "otel.monotonic" FROM otlp_case."http.requests"',
     [["shop", "3", '["a","b"]', "client.case", "1.0", "delta", "true"]])
want('SELECT max(value), min(value) FROM otlp_case."open"', [[10, 6]])
want('SELECT DISTINCT "histogram.count", "histogram.sum", "histogram.bounds", "histogram.buckets" FROM otlp_case.duration',
     [[10, 9, "[0.1,1]", "[1,5,4]"]])
want('SELECT DISTINCT "histogram.count", "histogram.max" FROM otlp_case.size', [[10, 512]])
want("SELECT DISTINCT room, value FROM otlp_case.temperature", [["hall", 21.5]])
want("SELECT type, help, unit FROM otlp_case.metric_metadata WHERE metric = 'http.requests'", [["sum", "Requests.", "1"]])
if not rows('SELECT start_time FROM otlp_case."http.requests" WHERE start_time < time'):
    fail("no start times")
