// What streams read and sinks send, as the page tells it.

import assert from "node:assert/strict";
import { appendFile, mkdir } from "node:fs/promises";
import path from "node:path";
import { textBecomes } from "./live.mjs";

function rowText(page, testId) {
  return page.$eval(`[data-testid="${testId}"]`, (row) => [...row.cells].map((cell) => cell.textContent));
}

export const cases = [
  [
    "a source shows its state, what it refused and why, and a sink what it waits for",
    async ({ server, open, shot }) => {
      const files = path.join(server.directory, "read-from");
      await mkdir(files, { recursive: true });
      await appendFile(path.join(files, "a.log"), '{"n":1}\n{"n":2}\n{"n":"three"}\n');
      const { page } = await open();
      await textBecomes(page, "conn-state", "live");
      await page.waitForSelector('[data-testid="sources-panel"]', { state: "hidden" });
      await server.sql(`CREATE STREAM tailed (time TIMESTAMP, n BIGINT) WITH (file_path = '${files}/*.log', file_format = 'json')`);
      await page.waitForSelector('[data-testid="source-tailed"][data-state="running"]');
      await page.waitForFunction(() => document.querySelector('[data-testid="source-tailed"]').cells[5].textContent === "1");
      const trouble = await page.textContent("#sources-body .trouble");
      assert.match(trouble, /last row refused: .*"n" is BIGINT/);
      assert.match(await page.textContent('[data-testid="sources-pressure"]'), /^write buffer \d+ %/);
      await server.sql("PAUSE SOURCE tailed");
      await page.waitForSelector('[data-testid="source-tailed"][data-state="paused"]');
      // Nobody listens there.
      await server.sql("CREATE SINK outward FROM tailed WITH (kafka_topic = 'out', kafka_brokers = '127.0.0.1:1')");
      await page.waitForSelector('[data-testid="sink-outward"][data-state="waiting"]');
      assert.equal((await rowText(page, "sink-outward"))[1], "kafka out");
      await shot(page, "sources");
      await server.sql("DROP SINK outward");
      await server.sql("DROP STREAM tailed");
      await page.waitForSelector('[data-testid="sources-panel"]', { state: "hidden" });
    },
  ],
];
