"""Python influxdb-client (v2 API): single points, lines, and its batching writer."""
# needs: python

import datetime

from influxdb_client import InfluxDBClient, Point, WritePrecision
from influxdb_client.client.write_api import SYNCHRONOUS, WriteOptions
from influxdb_client.rest import ApiException

from tidemill_sql import URL, fail, want

BASE = 1_700_000_000_000_000_000
BATCHED = 25_000

with InfluxDBClient(url=URL, token="any", org="o") as client:
    if not client.ping():
        fail("ping() is false")
    with client.write_api(write_options=SYNCHRONOUS) as writer:
        points = [
            Point("v2_points").tag("room", f"r {i % 3}").field("temp", 20.0 + i).field("n", i).field("on", i % 2 == 0)
            .field("note", 'a "quote", and a \\').time(BASE + i, WritePrecision.NS)
            for i in range(100)
        ]
        writer.write(bucket="default", record=points)
        at = datetime.datetime(2024, 1, 1, tzinfo=datetime.timezone.utc)
        writer.write(bucket="default", record=Point("v2_points").tag("room", "late").field("temp", 1.5).time(at))
        writer.write(bucket="default", record="v2_points,room=line temp=2.5 1700000000", write_precision=WritePrecision.S)
        try:
            writer.write(bucket="default", record="v2_points,room=bad temp=")
            fail("a line without a value was accepted")
        except ApiException as error:
            if error.status != 400:
                fail(f"a line without a value: {error.status} instead of 400: {error.body}")

    failures = []
    options = WriteOptions(batch_size=1_000, flush_interval=200, max_retries=2)
    with client.write_api(
        write_options=options, error_callback=lambda conf, data, error: failures.append(str(error))
    ) as writer:
        for i in range(BATCHED):
            writer.write(bucket="default", record=f"v2_batched,host=h{i % 50} v={i}i {BASE + i}")
    # Leaving the block flushes what is still queued.
    if failures:
        fail(f"the batching writer failed: {failures[0]}")

want("SELECT count(*) AS n FROM v2_points", [[102]])
want("SELECT room, count(*) AS n, sum(n) AS s FROM v2_points WHERE room LIKE 'r %' GROUP BY room ORDER BY room",
     [["r 0", 34, 1683], ["r 1", 33, 1617], ["r 2", 33, 1650]])
want("SELECT temp, note FROM v2_points WHERE n = 7", [[27.0, 'a "quote", and a \\']])
want("SELECT temp FROM v2_points WHERE room = 'late' AND time = '2024-01-01T00:00:00Z'", [[1.5]])
want("SELECT temp FROM v2_points WHERE room = 'line' AND time = '2023-11-14T22:13:20Z'", [[2.5]])
want("SELECT count(*) AS n, sum(v) AS s FROM v2_batched", [[BATCHED, BATCHED * (BATCHED - 1) // 2]])
