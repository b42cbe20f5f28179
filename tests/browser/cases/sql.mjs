// The SQL box: results, errors, live queries, plots, files, history.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { clicks, painted, showsWhatSqlSays, tableRows, textBecomes } from "./live.mjs";

async function run(page, sql) {
  await page.fill("#sql-input", sql);
  await page.press("#sql-input", "Control+Enter");
}

export const cases = [
  [
    "a query in the box gives the table that SQL gives",
    async ({ server, open, shot }) => {
      const { page } = await open();
      const sql = "SELECT city, COUNT(*) AS n, MIN(ts) AS first FROM clicks GROUP BY city ORDER BY city";
      await run(page, sql);
      await page.waitForSelector('[data-testid="sql-table"]');
      await showsWhatSqlSays(page, server, "sql-table", sql);
      const heads = await page.$$eval('[data-testid="sql-table"] th', (cells) => cells.map((cell) => [cell.firstChild.textContent, cell.className]));
      assert.deepEqual(heads, [["city", "text"], ["n", "num"], ["first", "time"]]);
      assert.match(await page.textContent("#sql-status"), /^4 rows · [\d.]+ (µs|ms|s) on the server/);
      await shot(page, "query");
    },
  ],
  [
    "numbers keep their digits: 64-bit integers and decimals",
    async ({ open }) => {
      const { page } = await open();
      await run(page, "SELECT 9007199254740993 AS big, CAST('12.50' AS DECIMAL(10,2)) AS price");
      await page.waitForSelector('[data-testid="sql-table"]');
      assert.deepEqual(await tableRows(page, "sql-table"), [["9007199254740993", "12.50"]]);
    },
  ],
  [
    "a click on a heading sorts, a second one turns round, a third one undoes it",
    async ({ open }) => {
      const { page } = await open();
      await run(page, "SELECT city, COUNT(*) AS n, MIN(ts) AS first FROM clicks GROUP BY city ORDER BY city");
      await page.waitForSelector('[data-testid="sql-table"]');
      const cities = async () => (await tableRows(page, "sql-table")).map((row) => row[0]);
      const order = ["Bergen", "Lyon", "Oslo", "Rome"];
      assert.deepEqual(await cities(), order);
      const head = '[data-testid="sql-table"] th:first-child button';
      await page.click(head);
      await page.click(head);
      assert.deepEqual(await cities(), [...order].reverse());
      await page.click(head);
      assert.deepEqual(await cities(), order);
      await page.click('[data-testid="sql-table"] th:nth-child(2) button');
      const counts = (await tableRows(page, "sql-table")).map((row) => Number(row[1]));
      assert.deepEqual(counts, [...counts].sort((a, b) => a - b));
    },
  ],
  [
    "an error shows its place, in the box and below",
    async ({ open, shot }) => {
      const { page } = await open();
      await run(page, "SELECT city,\n  COUNT(*)\nFROM clicks\nGROUPP BY city");
      await page.waitForSelector('[data-testid="sql-error"]:not([hidden])');
      assert.match(await page.textContent("#sql-error"), /line 4, column \d+/);
      assert.match(await page.textContent("#sql-error .excerpt"), /^GROUPP BY city\n *\^$/);
      assert.ok((await page.$$(".t-error")).length === 1, "the place is underlined");
      await shot(page, "error");
      await run(page, "SELECT 1 AS one");
      await page.waitForSelector('[data-testid="sql-table"]');
      assert.equal(await page.isVisible("#sql-error"), false, "the next run takes the error away");
    },
  ],
  [
    "EMIT CHANGES runs live until it is stopped",
    async ({ server, open, shot }) => {
      const { page } = await open();
      const windowed = "SELECT user_id, COUNT(*) AS n FROM clicks WINDOW TUMBLING (SIZE 1 MINUTE) GROUP BY user_id";
      await run(page, `${windowed} HAVING COUNT(*) > 40 EMIT CHANGES`);
      await page.waitForSelector("#sql-stop:not([hidden])");
      const at = Date.parse("2024-05-01T12:10:00Z");
      const event = (i) => ({ user_id: 4711, city: "Oslo", amount: 2, ts: new Date(at + i).toISOString() });
      await server.post("clicks", Array.from({ length: 41 }, (_, i) => event(i)));
      const count = (page) => page.$$eval('[data-testid="sql-table"] tbody tr', (rows) => rows.filter((row) => row.cells[0].textContent === "4711").map((row) => row.cells[1].textContent));
      await page.waitForSelector('[data-testid="sql-table"] tbody tr:has(td:text-is("4711"))');
      assert.deepEqual(await count(page), ["41"]);
      await server.post("clicks", [event(100)]);
      await page.waitForSelector('[data-testid="sql-table"] tbody tr:has(td:text-is("4711")) td:text-is("42")');
      await shot(page, "live-query");
      await page.click("#sql-stop");
      await page.waitForSelector("#sql-stop", { state: "hidden" });
      await server.post("clicks", [event(200)]);
      const total = (await server.sql("SELECT COUNT(*) FROM clicks")).rows[0][0];
      await textBecomes(page, "stream-count-clicks", total.toLocaleString("en-US"));
      assert.deepEqual(await count(page), ["42"], "a stopped query stands still");
    },
  ],
  [
    "a result with a time column can be plotted, in lines by a text column",
    async ({ open, shot }) => {
      const { page } = await open({ colorScheme: "dark" });
      await run(page, "SELECT window_start, city, n FROM clicks_by_city ORDER BY window_start");
      await page.click('[data-testid="sql-face-plot"]');
      await page.waitForSelector("#sql-plot canvas");
      assert.ok(await painted(page, "#sql-plot canvas"), "the plot has lines in it");
      const lines = await page.$$eval("#sql-plot .legend-item", (items) => items.map((item) => item.childNodes[1].textContent));
      assert.deepEqual(lines.sort(), ["Bergen", "Lyon", "Oslo", "Rome"]);
      await shot(page, "plot");
    },
  ],
  [
    "a long result is cut on the page and whole in the CSV",
    async ({ server, open }) => {
      await server.post("clicks", clicks(1200, 5000));
      const { page } = await open();
      const sql = "SELECT ts, city, user_id FROM clicks";
      await run(page, sql);
      await page.waitForSelector('[data-testid="sql-note"]:not([hidden])');
      assert.equal((await tableRows(page, "sql-table")).length, 1000);
      const [download] = await Promise.all([page.waitForEvent("download"), page.click("#sql-csv")]);
      const lines = (await readFile(await download.path(), "utf8")).split("\r\n");
      assert.equal(lines[0], "ts,city,user_id");
      const count = (await server.sql("SELECT COUNT(*) FROM clicks")).rows[0][0];
      assert.equal(lines.length - 2, count, "every row, a header, and an end of line");
    },
  ],
  [
    "statements that make things change the catalog, and history brings queries back",
    async ({ open }) => {
      const { page } = await open();
      await run(page, "CREATE STREAM notes (ts TIMESTAMP, body STRING);\nSHOW STREAMS");
      await page.waitForSelector('[data-testid="stream-item-notes"]');
      await page.waitForSelector('[data-testid="sql-table"]');
      await run(page, "SELECT 2 AS two");
      await page.waitForSelector('[data-testid="sql-table"] th:has-text("two")');
      await page.fill("#sql-input", "draft");
      await page.press("#sql-input", "Alt+ArrowUp");
      assert.equal(await page.inputValue("#sql-input"), "SELECT 2 AS two");
      await page.press("#sql-input", "Alt+ArrowUp");
      assert.match(await page.inputValue("#sql-input"), /^CREATE STREAM notes/);
      await page.press("#sql-input", "Alt+ArrowDown");
      await page.press("#sql-input", "Alt+ArrowDown");
      assert.equal(await page.inputValue("#sql-input"), "draft", "past the newest stands what was typed");
      await page.reload();
      assert.equal(await page.$$eval("#sql-history option", (options) => options.length), 3, "history outlives a reload");
    },
  ],
  [
    "what comes out of the database is never markup",
    async ({ server, open }) => {
      const nasty = `<img src=x onerror="window.hurt=1">`;
      await server.sql("CREATE STREAM letters (ts TIMESTAMP, body STRING)");
      await server.post("letters", [{ ts: "2024-05-01T12:00:00Z", body: nasty }]);
      const { page } = await open();
      await run(page, "SELECT body FROM letters");
      await page.waitForSelector('[data-testid="sql-table"]');
      assert.deepEqual(await tableRows(page, "sql-table"), [[nasty]]);
      assert.equal(await page.$("#sql-result img"), null);
    },
  ],
];
