"""Python influxdb (v1 API): ping, create database, write_points in each precision, errors."""
# needs: python

from influxdb import InfluxDBClient
from influxdb.exceptions import InfluxDBClientError

from tidemill_sql import PORT, fail, want

client = InfluxDBClient(host="127.0.0.1", port=PORT, database="default")
if not client.ping():
    fail("ping() gave no version")
client.create_database("v1_clients")

points = [
    {
        "measurement": "v1_points",
        "tags": {"host": f"h{i % 4}", "zone": "a,b c"},
        "time": 1_700_000_000 + i,
        "fields": {"load": i / 4, "count": i, "up": True, "name": f"n{i}"},
    }
    for i in range(2_500)
]
if not client.write_points(points, time_precision="s", batch_size=500):
    fail("write_points returned False")
if not client.write_points([{"measurement": "v1_points", "tags": {"host": "text"},
                             "time": "2024-01-01T00:00:00.5Z", "fields": {"load": 0.25}}]):
    fail("write_points with a text time returned False")
try:
    client.write(["v1_points,host=bad load="], {"db": "default"}, protocol="line")
    fail("a line without a value was accepted")
except InfluxDBClientError as error:
    if error.code != 400:
        fail(f"a line without a value: {error.code} instead of 400")
client.close()

want("SELECT count(*) AS n, sum(count) AS s FROM v1_points WHERE zone = 'a,b c'", [[2500, 2500 * 2499 // 2]])
want("SELECT host, count(*) AS n FROM v1_points WHERE host LIKE 'h%' GROUP BY host ORDER BY host",
     [[f"h{i}", 625] for i in range(4)])
want("SELECT name, up FROM v1_points WHERE time = '2023-11-14T22:13:27Z'", [["n7", True]])
want("SELECT load FROM v1_points WHERE time = '2024-01-01T00:00:00.5Z'", [[0.25]])
