// How it looks and how it is reached: both colour schemes, a narrow screen, the keyboard.

import assert from "node:assert/strict";
import { textBecomes } from "./live.mjs";

async function settled(page) {
  await textBecomes(page, "conn-state", "live");
  await page.waitForFunction(() => / %$/.test(document.querySelector("#host-cpu").textContent));
}

export const cases = [
  ...["light", "dark"].map((colorScheme) => [
    `the page in ${colorScheme}`,
    async ({ open, shot }) => {
      const { page } = await open({ colorScheme });
      await settled(page);
      const ground = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
      const brightness = ground.match(/\d+/g).slice(0, 3).reduce((sum, part) => sum + Number(part), 0) / 3;
      assert.equal(brightness < 128, colorScheme === "dark", ground);
      await shot(page, colorScheme);
    },
  ]),
  [
    "on a screen of 420 pixels nothing sticks out",
    async ({ open, shot }) => {
      const { page } = await open({ viewport: { width: 420, height: 900 } });
      await settled(page);
      const [content, screen] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
      assert.ok(content <= screen, `${content} pixels of content on ${screen}`);
      await shot(page, "narrow");
    },
  ],
  [
    "the keyboard reaches the SQL box, runs it, and opens a view",
    async ({ open }) => {
      const { page } = await open();
      await settled(page);
      await page.keyboard.press("/");
      assert.equal(await page.evaluate(() => document.activeElement.id), "sql-input");
      await page.keyboard.press("Control+A");
      await page.keyboard.type("SELECT 3 AS three");
      await page.keyboard.press("Control+Enter");
      await page.waitForSelector('[data-testid="sql-table"]');
      await page.focus('[data-testid="view-item-clicks_by_city"]');
      await page.keyboard.press("Enter");
      await page.waitForSelector('[data-testid="view-table"]');
    },
  ],
  [
    "every control has a name",
    async ({ open }) => {
      const { page } = await open();
      await settled(page);
      const nameless = await page.$$eval("button, select, textarea, input, a", (controls) =>
        controls
          .filter((control) => !(control.textContent.trim() || control.getAttribute("aria-label") || control.closest("label")))
          .map((control) => control.outerHTML),
      );
      assert.deepEqual(nameless, []);
    },
  ],
];
