// The server goes away and comes back: the page says so, returns by itself, and is right again.

import assert from "node:assert/strict";
import { clicks, showsWhatSqlSays, textBecomes } from "./live.mjs";

export const cases = [
  [
    "after a restart of the server the page is live and right again",
    async ({ server, open }) => {
      const { page, complaints } = await open();
      await page.click('[data-testid="view-item-clicks_by_city"]');
      await showsWhatSqlSays(page, server, "view-table", "SELECT * FROM clicks_by_city");
      await page.evaluate(() => {
        window.untouched = true;
      });
      const status = await server.stop();
      assert.equal(status, 0, "SIGTERM ends it gracefully");
      await page.waitForFunction(() => document.querySelector("#connection").dataset.state !== "live");
      await server.start();
      await textBecomes(page, "conn-state", "live");
      await server.post("clicks", clicks(60, 321));
      await showsWhatSqlSays(page, server, "view-table", "SELECT * FROM clicks_by_city");
      assert.equal(await page.evaluate(() => window.untouched), true, "the page was loaded again");
      // Being refused while the server was away, and told 503 while it started, is what this case is about.
      const expected = /ERR_CONNECTION|WebSocket connection|status of 503/;
      complaints.splice(0, complaints.length, ...complaints.filter((line) => !expected.test(line)));
    },
  ],
];
