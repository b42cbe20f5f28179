// What is pushed: the numbers on an open page become what SQL says, without a reload.

import assert from "node:assert/strict";

const MINUTE = 60_000;
// Far from any present clock, so that no window closes by itself while the test looks.
const BASE = Date.parse("2024-05-01T12:00:00Z");

/** The stream and the view that most cases look at. */
export async function prepare(server) {
  await server.sql("CREATE STREAM clicks (user_id BIGINT, city STRING, amount DOUBLE, ts TIMESTAMP)");
  await server.sql(
    "CREATE MATERIALIZED VIEW clicks_by_city AS SELECT city, COUNT(*) AS n, MAX(user_id) AS top FROM clicks WINDOW TUMBLING (SIZE 1 MINUTE) GROUP BY city",
  );
}

/** `count` clicks over three minutes and four cities, different for each `seed`, all times unequal. */
export function clicks(count, seed) {
  const cities = ["Oslo", "Bergen", "Rome", "Lyon"];
  return Array.from({ length: count }, (_, i) => ({
    user_id: 1000 + ((i * 7 + seed) % 50),
    city: cities[(i + seed) % cities.length],
    amount: Number((((i * 37 + seed) % 9000) / 100 + 1).toFixed(2)),
    ts: new Date(BASE + (i * 3 * MINUTE) / count + seed).toISOString(),
  }));
}

/** The rows of a table on the page, as texts. */
export function tableRows(page, testId) {
  return page.$$eval(`[data-testid="${testId}"] tbody tr`, (rows) => rows.map((row) => [...row.cells].map((cell) => cell.textContent)));
}

function spelled(rows) {
  const time = (text) => text.replace(/^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(\.\d+)?Z$/, "$1 $2$3");
  return rows.map((row) => row.map((value) => time(String(value))).join(" | ")).sort();
}

/** Waits until the table shows exactly the rows that SQL gives. */
export async function showsWhatSqlSays(page, server, testId, sql) {
  const reply = await server.sql(sql);
  const expected = spelled(reply.rows);
  await page
    .waitForFunction(
      ({ testId, expected }) => {
        const rows = [...document.querySelectorAll(`[data-testid="${testId}"] tbody tr`)];
        const texts = rows.map((row) => [...row.cells].map((cell) => cell.textContent).join(" | ")).sort();
        return JSON.stringify(texts) === JSON.stringify(expected);
      },
      { testId, expected },
    )
    .catch(async () => assert.deepEqual(spelled(await tableRows(page, testId)), expected));
  return reply.rows;
}

/** Waits until an element's text is this. */
export async function textBecomes(page, testId, text) {
  await page
    .waitForFunction(({ testId, text }) => document.querySelector(`[data-testid="${testId}"]`)?.textContent === text, { testId, text })
    .catch(async () => assert.equal(await page.textContent(`[data-testid="${testId}"]`), text, testId));
}

export const cases = [
  [
    "N posted events: the view on the page becomes what SQL says, without a reload",
    async ({ server, open, shot }) => {
      const { page } = await open();
      await textBecomes(page, "conn-state", "live");
      await page.evaluate(() => {
        window.untouched = true;
      });
      await page.click('[data-testid="view-item-clicks_by_city"]');
      const sum = { n: 0 };
      for (let batch = 0; batch < 10; batch += 1) {
        await server.post("clicks", clicks(100, batch));
        if (batch % 3 !== 0) continue;
        const rows = await showsWhatSqlSays(page, server, "view-table", "SELECT * FROM clicks_by_city");
        assert.ok(rows.length >= 12, "three minutes of four cities");
      }
      const rows = await showsWhatSqlSays(page, server, "view-table", "SELECT * FROM clicks_by_city");
      for (const row of rows) sum.n += row[1];
      assert.equal(sum.n, 1000, "the view counts every event once");
      assert.equal((await server.sql("SELECT COUNT(*) FROM clicks")).rows[0][0], 1000);
      await textBecomes(page, "stream-count-clicks", "1,000");
      assert.equal(await page.evaluate(() => window.untouched), true, "the page was loaded again");
      await shot(page, "view");
    },
  ],
  [
    "a late event corrects a row that is on the page",
    async ({ server, open }) => {
      const { page } = await open();
      await page.click('[data-testid="view-item-clicks_by_city"]');
      const before = await showsWhatSqlSays(page, server, "view-table", "SELECT * FROM clicks_by_city");
      await server.post("clicks", [{ user_id: 9999, city: "Oslo", amount: 1, ts: new Date(BASE + 1234).toISOString() }]);
      const after = await showsWhatSqlSays(page, server, "view-table", "SELECT * FROM clicks_by_city");
      assert.equal(after.length, before.length);
      assert.equal(after.filter((row) => row[2] === 9999).length, 1, "one row took the late event in");
    },
  ],
  [
    "a view created after the page was opened starts to show: fraud",
    async ({ server, open, shot }) => {
      const { page } = await open();
      await textBecomes(page, "conn-state", "live");
      await page.waitForSelector("#fraud-body .empty");
      await server.sql(
        `CREATE STREAM purchases (user_id BIGINT, amount DECIMAL(10,2), city STRING, timestamp TIMESTAMP) WITH (kafka_topic = 'purchases', value_format = 'JSON');
         CREATE MATERIALIZED VIEW fraud AS SELECT user_id, COUNT(*) as purchase_count, COUNT(DISTINCT city) as city_count, COLLECT_LIST(city) as cities FROM purchases GROUP BY user_id, HOP(timestamp, INTERVAL '1' HOUR, INTERVAL '5' MINUTE) HAVING COUNT(*) >= 5 AND COUNT(DISTINCT city) >= 3`,
      );
      const buy = (user_id, i, city) => ({ user_id, amount: 10.5, city, timestamp: new Date(BASE + i * 1000).toISOString() });
      const honest = [1, 2, 3, 4].map((i) => buy(5, i, "Oslo"));
      const cities = ["Oslo", "Rome", "Lyon", "Oslo", "Rome"];
      await server.post("purchases", [...honest, ...cities.map((city, i) => buy(7, i, city))]);
      const { rows } = await server.sql("SELECT user_id FROM fraud");
      assert.ok(rows.length > 0, "SQL sees the fraudster");
      assert.ok(rows.every(([user]) => user === 7));
      await textBecomes(page, "fraud-count", `${rows.length} rows`);
      const shown = await tableRows(page, "fraud-table");
      assert.equal(shown.length, rows.length);
      assert.deepEqual([...new Set(shown.map((row) => row.slice(0, 3).join(" ")))], ["7 5 3"]);
      assert.ok(shown.every((row) => row[4] === "Oslo ×2, Rome ×2, Lyon"), shown[0][4]);
      await shot(page, "fraud");
    },
  ],
  [
    "flights are drawn in event time, and corrected rows count once",
    async ({ server, open, shot }) => {
      await server.sql(
        `CREATE STREAM flights (time TIMESTAMP, origin STRING, destination STRING, delay INT, distance INT);
         CREATE MATERIALIZED VIEW flights_per_minute AS SELECT origin AS airport, COUNT(*) AS flights FROM flights WINDOW TUMBLING (SIZE 1 MINUTE) GROUP BY origin`,
      );
      const { page } = await open({ colorScheme: "dark" });
      const start = Date.parse("2001-01-05T08:00:00Z");
      const airports = ["ATL", "ORD", "DFW", "LAX", "DEN", "PHX", "MSP", "DTW", "SFO", "SEA"];
      const flights = Array.from({ length: 3000 }, (_, i) => ({
        time: new Date(start + Math.floor(i / 25) * MINUTE).toISOString(),
        origin: airports[(i * i) % airports.length],
        destination: "JFK",
        delay: i % 40,
        distance: 700,
      }));
      // 510 rows end in the middle of a minute of 25, so that the next ones correct what was pushed.
      for (let i = 0; i < flights.length; i += 510) await server.post("flights", flights.slice(i, i + 510));
      await page.waitForFunction(() => document.querySelector("#flights-at").textContent === "event time 2001-01-05 09:59");
      assert.ok(await painted(page, "#flights-body canvas"), "the chart has colour in it");
      await page.click('#flights-range button:text-is("1 h")');
      for (const last of flights.slice(-3)) await server.post("flights", [last]);
      const { columns, rows } = await server.sql("SELECT * FROM flights_per_minute");
      const [airport, count, begin] = ["airport", "flights", "window_start"].map((name) => columns.findIndex((column) => column.name === name));
      const newest = rows.filter((row) => Date.parse(row[begin]) === start + 119 * MINUTE);
      assert.equal(newest.reduce((sum, row) => sum + row[count], 0), 28);
      const expected = newest.map((row) => `${row[airport]} ${row[count].toFixed(row[count] < 10 ? 1 : 0)}`).sort();
      const legend = () =>
        page.$$eval("#flights-body .legend-item", (items) =>
          items.map((item) => `${item.childNodes[1].textContent} ${item.lastChild.textContent}`).filter((text) => !text.endsWith(" 0.0")),
        );
      await page
        .waitForFunction((want) => {
          const items = [...document.querySelectorAll("#flights-body .legend-item")];
          const texts = items.map((item) => `${item.childNodes[1].textContent} ${item.lastChild.textContent}`);
          return texts.filter((text) => !text.endsWith(" 0.0")).sort().join() === want;
        }, expected.join())
        .catch(async () => assert.deepEqual((await legend()).sort(), expected));
      await shot(page, "flights");
    },
  ],
  [
    "the server's own numbers arrive every second",
    async ({ server, open }) => {
      const { page } = await open();
      await page.waitForFunction(() => /^[\d,]+$/.test(document.querySelector("#events-rate").textContent));
      await page.waitForFunction(() => / %$/.test(document.querySelector("#host-cpu").textContent));
      const lsn = Number((await server.post("clicks", clicks(50, 77))).lsn);
      // Only rows that are counted as they come make the rate more than nothing.
      await page.waitForFunction(() => Number(document.querySelector("#events-rate").textContent.replaceAll(",", "")) > 0);
      await page.waitForFunction((lsn) => Number(document.querySelector("#lsn").textContent.replaceAll(",", "")) >= lsn, lsn);
      await page.waitForFunction(() => /\d/.test(document.querySelector("#latency-p99").textContent));
    },
  ],
];

/** Whether a canvas holds anything but transparent pixels and grey lines. */
export function painted(page, selector) {
  return page.$eval(selector, (canvas) => {
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    let coloured = 0;
    for (let i = 0; i < data.length; i += 4) {
      const spread = Math.max(data[i], data[i + 1], data[i + 2]) - Math.min(data[i], data[i + 1], data[i + 2]);
      if (data[i + 3] > 0 && spread > 40) coloured += 1;
    }
    return coloured > 100;
  });
}
