CREATE STREAM purchases (user_id BIGINT, amount DECIMAL(10,2), city STRING, timestamp TIMESTAMP) WITH (kafka_topic = 'purchases', value_format = 'JSON');
----
SELECT city, COUNT(*) as purchase_count, SUM(amount) as total_revenue, AVG(amount) as avg_order_value FROM purchases WINDOW TUMBLING GROUP BY city EMIT CHANGES;
----
SELECT user_id, SESSION_START() as session_start, SESSION_END() as session_end, COUNT(*) as page_views, COLLECT_LIST(page_url) as visited_pages FROM page_views WINDOW SESSION GROUP BY user_id HAVING COUNT(*) > 10 EMIT CHANGES;
----
SELECT user_id, COUNT(*) as purchase_count, COUNT(DISTINCT city) as city_count, COLLECT_LIST(city) as cities FROM purchases GROUP BY user_id, HOP(timestamp, INTERVAL '1' HOUR, INTERVAL '5' MINUTE) HAVING COUNT(*) >= 5 AND COUNT(DISTINCT city) >= 3 EMIT CHANGES;
----
-- Several statements, comments, empty ones.
;; USE metrics; /* a /* nested */ comment */ SET query_timeout = 30 SECONDS;
SET max_rows TO -5;
----
CREATE DATABASE IF NOT EXISTS "My DB";
CREATE STREAM s;
CREATE STREAM IF NOT EXISTS db.s (
  host STRING TAG NOT NULL, region VARCHAR(10) NOT NULL TAG, properties.page TEXT, "a ""b"" c" INT NULL,
  ts TIMESTAMP(3) WITH TIME ZONE, tags ARRAY<STRING>, grid ARRAY<ARRAY<INT>>, raw INT[][], d DOUBLE PRECISION,
  n NUMERIC(5), z DECIMAL, u UBIGINT, b BYTES, day DATE, name CHARACTER VARYING(3), flag BOOL, r FLOAT
) WITH (event_time = 'ts', 'kafka.group.id' = 'g', kafka.auto.offset.reset = earliest, disorder = 5 SECONDS,
  lateness = INTERVAL '1 hour', 'odd name' = 1, partitions = -1, ratio = 0.5, enabled = true, nothing = NULL);
CREATE STREAM clicks (ts TIMESTAMP, url STRING, WATERMARK FOR ts AS ts - INTERVAL '5' SECOND);
----
CREATE MATERIALIZED VIEW v AS SELECT * FROM s;
CREATE OR REPLACE VIEW IF NOT EXISTS d.v (a, b) WITH (retention = '30 days') AS
  WITH x AS (SELECT 1), y (n) AS (VALUES (1), (2)) SELECT a, b FROM x, y EMIT FINAL;
----
INSERT INTO s VALUES (1, 'a', -1.5, NULL), (2, 'it''s', 1e5, X'00ff');
INSERT INTO db.s (a, b) SELECT a, b FROM t LIMIT 3;
INSERT INTO s (SELECT 1);
DELETE FROM s WHERE a = 1;
DELETE FROM s;
----
SHOW STREAMS; SHOW MATERIALIZED VIEWS LIKE 'a%'; SHOW DATABASES; SHOW TABLES; SHOW COLUMNS IN a.b.c; SHOW FUNCTIONS LIKE 'x''y';
SHOW QUERIES; SHOW SOURCES; DESCRIBE v; DESC STREAM s; DESCRIBE stream; DROP STREAM IF EXISTS s; DROP MATERIALIZED VIEW v;
DROP DATABASE d; EXPLAIN SELECT 1; EXPLAIN VERBOSE ANALYZE SELECT 1; EXPLAIN CREATE VIEW v AS SELECT 1;
----
SELECT timestamp, value, "end", end, left, window, offset, latest FROM timestamp WHERE timestamp > TIMESTAMP '2026-01-01' AND date = DATE '2026-01-01';
----
SELECT *, t.*, a.b.t.* EXCEPT (x, "Y"), t."q" z, order_id AS "limit", t.order FROM t AS t1 (a, b), LATERAL (SELECT 1) l, generate_series(1, 10) AS g (n), TABLE(f(a => 1, b => NULL));
----
SELECT DISTINCT a FROM t; SELECT DISTINCT ON (a, b) c FROM t ORDER BY a DESC NULLS LAST, b ASC, c NULLS FIRST LIMIT 10 OFFSET 5 ROWS;
SELECT ALL a FROM t EMIT CHANGES LIMIT 5;
----
SELECT 1 UNION ALL SELECT 2 INTERSECT SELECT 3 EXCEPT VALUES (4) UNION (SELECT 5 ORDER BY 1 LIMIT 1) ORDER BY 1;
(SELECT 1);
((SELECT 1) UNION DISTINCT (SELECT 2)) LIMIT 1;
SELECT * EXCEPT (SELECT 1);
SELECT * EXCEPT ((SELECT 1));
----
SELECT * FROM a JOIN b ON a.x = b.x LEFT OUTER JOIN c USING (x, y) CROSS JOIN d NATURAL FULL JOIN e RIGHT JOIN (f INNER JOIN g ON true) ON 1 = 1;
SELECT * FROM trades ASOF JOIN quotes ON trades.sym = quotes.sym;
SELECT * FROM trades t ASOF LEFT JOIN quotes q LEFT SEMI JOIN x ON a = b RIGHT ANTI JOIN y ON a = b;
SELECT * FROM o JOIN s WITHIN 5 MINUTES ON o.id = s.id;
SELECT * FROM o JOIN s WITHIN (1 MINUTE, '2 hours') GRACE PERIOD INTERVAL '1' DAY ON o.id = s.id;
SELECT * FROM o JOIN s ON o.id = s.id WITHIN 1 HOUR;
SELECT * FROM ((SELECT 1) x JOIN (b) ON true), ((SELECT 1) UNION SELECT 2) y, ((SELECT 3)) z, (((a))) JOIN (VALUES (1)) v (c) ON v.c = a.c;
----
SELECT a FROM t WINDOW TUMBLING (SIZE 1 MINUTE) GROUP BY a;
SELECT a FROM t WINDOW TUMBLING (1 MINUTE, OFFSET 5 SECONDS, GRACE PERIOD 10 MINUTES, TIME ZONE 'Europe/Oslo') WHERE b GROUP BY a;
SELECT a FROM t WHERE b WINDOW HOPPING (SIZE 1 HOUR, ADVANCE BY 5 MINUTES) GROUP BY a;
SELECT a FROM t WINDOW HOPPING (ADVANCE BY 5 MINUTES SIZE 1 HOUR GRACE PERIOD 0 SECONDS) GROUP BY a;
SELECT a FROM t WINDOW SESSION (30 SECONDS, GRACE PERIOD 1 MINUTE) GROUP BY a;
SELECT a FROM t GROUP BY a WINDOW CUMULATE (STEP 1 MINUTE, SIZE 1 HOUR) HAVING a > 1;
SELECT a, sum(b) OVER w, rank() OVER (w2 ORDER BY c) FROM t WINDOW SESSION (5 SECONDS) GROUP BY a WINDOW w AS (PARTITION BY a ORDER BY b ROWS BETWEEN 1 + 1 PRECEDING AND CURRENT ROW), w2 AS (RANGE UNBOUNDED PRECEDING);
SELECT a FROM t WINDOW tumbling AS (PARTITION BY b) QUALIFY row_number() OVER tumbling = 1;
----
SELECT window_start FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) GROUP BY window_start;
SELECT * FROM TABLE(HOP(TABLE db.t, DESCRIPTOR(ts), INTERVAL '1' HOUR, INTERVAL '5' MINUTES, INTERVAL '1' SECOND)) AS w;
SELECT * FROM TUMBLE(TABLE (SELECT * FROM t), DESCRIPTOR("ts"), INTERVAL '10' SECOND, INTERVAL '1' SECOND);
SELECT * FROM TABLE(SESSION(TABLE t PARTITION BY a, b, DESCRIPTOR(ts), INTERVAL '5' MINUTE)) s, TABLE(CUMULATE(TABLE t, DESCRIPTOR(ts), INTERVAL '2' MINUTES, INTERVAL '10' MINUTES));
SELECT TUMBLE(ts, INTERVAL '1' MINUTE), SESSION(ts, INTERVAL '30' SECOND), CUMULATE(ts, INTERVAL '1' MINUTE, INTERVAL '1' DAY), time_bucket('1 minute', ts), date_bin(INTERVAL '1 minute', ts) FROM t GROUP BY 1, 2;
----
SELECT * FROM cpu LATEST ON ts PARTITION BY host, region WHERE usage > 1;
SELECT * FROM cpu WHERE usage > 1 LATEST ON ts PARTITION BY host;
----
SELECT INTERVAL '1' MINUTE, INTERVAL '1 minute 30 seconds', INTERVAL 1 MINUTE, INTERVAL '1.5' HOURS, INTERVAL '-1' DAY, INTERVAL '1 year 2 mons', INTERVAL '1h30m', INTERVAL '1 day 02:30:00', interval, INTERVAL '0' SECOND;
----
SELECT 1 + 2 * 3, (1 + 2) * 3, 1 - (2 - 3), 1 - 2 - 3, -a, - -1, +a, -(a + b), 2 * -3, a || b || 'c', a % 2, a & b | c # d, a << 1 >> 2, a ~ '^x' , a !~* 'y', a ~* 'b', a !~ 'c';
SELECT a = 1 OR b <> 2 AND NOT c < 3, (a OR b) AND c, NOT (a AND b), NOT NOT a, a == b, a != b, (a = b) = c, a IS NULL IS NOT TRUE, (a = b) IS UNKNOWN, a IS DISTINCT FROM b, a IS NOT DISTINCT FROM b + 1 OR c IS FALSE, a = b IS NULL;
SELECT a BETWEEN 1 AND 2 AND b, a NOT BETWEEN (1 OR 2) AND 3 + 4, a IN (1, 2), a NOT IN (SELECT 1), a IN ((SELECT 1)), a IN ((SELECT 1), 2), (a, b) IN ((1, 2), (3, 4)), a LIKE 'x%' ESCAPE '!', a NOT ILIKE b || '%', a SIMILAR TO 'z', (a LIKE 'b') = true;
SELECT CASE WHEN a THEN b ELSE c END, CASE a WHEN 1 THEN 'x' WHEN 2 THEN 'y' END, CAST(a AS INT), a::BIGINT::STRING, -1::INT, (-1)::INT, TRY_CAST('x' AS ARRAY<INT>), EXTRACT(HOUR FROM ts), EXTRACT('dow' FROM ts), EXISTS (SELECT 1), NOT EXISTS (SELECT 2), (SELECT max(a) FROM t) + 1, ((SELECT 1) + 1);
SELECT POSITION('a' IN b), position(a, b), position((a IN (1)), b), SUBSTRING(a FROM 2 FOR 3), SUBSTRING(a FOR 3), substring(a, 2, 3), TRIM(a), TRIM(BOTH 'x' FROM a), TRIM(LEADING FROM a), TRIM(TRAILING (b) FROM a), TRIM('x' FROM a), TRIM(LEADING a), trim(leading);
SELECT ARRAY[1, 2][1], [1, [2]], [], a[1][2:3], (array)[1], f(a)[1], ts AT TIME ZONE 'UTC', -a AT TIME ZONE b || 'c', CURRENT_TIMESTAMP, now(), (1, 2), t.a.b.c;
SELECT COUNT(*) FILTER (WHERE a > 1), sum(DISTINCT a), array_agg(a ORDER BY b DESC, c), percentile_cont(0.5) WITHIN GROUP (ORDER BY x), first_value(a) IGNORE NULLS OVER (PARTITION BY b, c ORDER BY d GROUPS BETWEEN UNBOUNDED PRECEDING AND 1 FOLLOWING), last(a) RESPECT NULLS over FROM t;
SELECT 0x2A, 1., .5, 1.5e-3, 170141183460469231731687303715884105728, TRUE, FALSE, NULL, 'a''b', TIME '10:00', X'', `tick`, "Q""q";
SELECT a FROM t GROUP BY GROUPING SETS ((a, b), a, (), (SELECT 1)), ROLLUP(a, b), CUBE(c);
SELECT Größe, 名前 FROM "ß" WHERE 名前 = 'é';
----
CREATE TABLE users (id BIGINT PRIMARY KEY NOT NULL, name STRING, plan.tier STRING NULL);
CREATE OR REPLACE TABLE IF NOT EXISTS shop.prices (city STRING, sku STRING NOT NULL, price DECIMAL(10,2), primary INT, PRIMARY KEY (city, sku)) WITH (kafka_topic = 'prices', value_format = json);
CREATE TABLE t (a INT); DROP TABLE IF EXISTS t; SHOW TABLES; DESCRIBE TABLE t;
CREATE TABLE t (a.b INT PRIMARY KEY, "c.d" INT);
INSERT INTO users VALUES (1, 'Ada', NULL); UPSERT INTO users (id, name) VALUES (1, 'Ada'); UPSERT INTO users SELECT id, name FROM news;
DELETE FROM users WHERE id = 1;
----
CREATE SINK out FROM revenue WITH (kafka_topic = 'out', value_format = 'json', key = 'city', exactly_once = true);
CREATE SINK IF NOT EXISTS shop.out FROM shop.purchases;
CREATE SINK big AS SELECT * FROM purchases WHERE amount > 100 EMIT CHANGES WITH (kafka_topic = big);
DROP SINK out; DROP SINK IF EXISTS out; SHOW SINKS LIKE 'o%';
----
CREATE STREAM s (a INT, ts TIMESTAMP) WITH (kafka_topic = 's') WHERE a > 1 AND a IS NOT NULL SAMPLE 10 PERCENT BY a, ts PRIORITY CASE WHEN a > 5 THEN 'critical' ELSE 'low' END;
CREATE STREAM s SAMPLE 0.5 PERCENT; CREATE STREAM s (a INT) PRIORITY 'high'; CREATE STREAM s WHERE sample > 1;
CREATE STREAM IF NOT EXISTS big WITH (tags = 'city') AS SELECT p.*, u.name AS who FROM purchases p LEFT JOIN users u ON p.user_id = u.id JOIN cities USING (city) WHERE amount > 100 SAMPLE 10 PERCENT BY user_id;
CREATE STREAM copy AS SELECT * FROM purchases SAMPLE 50 PERCENT; CREATE STREAM c AS SELECT a sample FROM t priority; CREATE STREAM c AS SELECT 1 SAMPLE 1 PERCENT BY 2;
----
REPLAY DEAD LETTERS; REPLAY DEAD LETTERS FROM shop.purchases WHERE reason LIKE '%type%'; PAUSE SOURCE purchases; RESUME SOURCE "purchases";
