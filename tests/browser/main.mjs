// Runs the cases one after the other against one server and one browser, and prints a closing line.

import { mkdir, mkdtemp, rm } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";
import { chromium } from "playwright-core";
import { cases as faces } from "./cases/faces.mjs";
import { cases as live, prepare } from "./cases/live.mjs";
import { cases as modules } from "./cases/modules.mjs";
import { cases as restart } from "./cases/restart.mjs";
import { cases as sources } from "./cases/sources.mjs";
import { cases as sql } from "./cases/sql.mjs";
import { Server } from "./server.mjs";

const root = process.env.TIDEMILL_ROOT ?? path.resolve(import.meta.dirname, "../..");
const { values } = parseArgs({
  options: {
    tidemill: { type: "string", default: path.join(root, "target/release/tidemill") },
    only: { type: "string", default: "" },
  },
});
const shots = path.join(process.env.TIDEMILL_CACHE ?? path.join(root, ".cache"), "browser");
await mkdir(shots, { recursive: true });
const directory = await mkdtemp(path.join(os.tmpdir(), "tidemill-browser-"));

// An interrupted run takes its server along.
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(1));

const server = new Server(path.resolve(values.tidemill), directory);
let passed = 0;
let failed = 0;
let browser;

/** Opens the page in a fresh profile; `complaints` gathers what a good page never does. */
async function open(options = {}) {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, colorScheme: "light", ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  const complaints = [];
  page.on("pageerror", (error) => complaints.push(`uncaught: ${error.stack ?? error}`));
  page.on("console", (message) => {
    // A refused statement is a reply with status 4xx, which chromium reports by itself.
    const reply = /Failed to load resource.*status of 4\d\d/.test(message.text()) && message.location().url.endsWith("/api/v1/sql");
    if (message.type() === "error" && !reply) complaints.push(`console: ${message.text()}`);
  });
  page.on("request", (request) => {
    const url = request.url();
    if (!url.startsWith(server.origin) && !url.startsWith("blob:")) complaints.push(`foreign request: ${url}`);
  });
  await page.goto(`${server.origin}/`);
  return { page, context, complaints };
}

try {
  await server.start();
  await prepare(server);
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
  });
  for (const [name, run] of [...modules, ...live, ...sql, ...sources, ...faces, ...restart]) {
    if (!name.includes(values.only)) continue;
    const opened = [];
    const openPage = async (options) => {
      const one = await open(options);
      opened.push(one);
      return one;
    };
    const shot = async (page, file) => {
      await page.evaluate(() => scrollTo({ top: 0, behavior: "instant" }));
      await page.screenshot({ path: path.join(shots, `${file}.png`), fullPage: true });
    };
    try {
      await run({ server, open: openPage, shot });
      const complaints = opened.flatMap((one) => one.complaints);
      if (complaints.length > 0) throw new Error(complaints.join("\n"));
      passed += 1;
      console.log(`ok      ${name}`);
    } catch (error) {
      failed += 1;
      console.log(`FAILED  ${name}: ${error.stack ?? error}`);
      const complaints = opened.flatMap((one) => one.complaints);
      if (complaints.length > 0) console.log(`  the page complained: ${complaints.join("\n  ")}`);
      const last = opened.at(-1)?.page;
      await (last && shot(last, `failed-${failed}`).catch(() => {}));
    } finally {
      for (const { context } of opened) await context.close();
    }
  }
} catch (error) {
  failed += 1;
  console.log(`FAILED  ${error.stack ?? error}`);
} finally {
  await browser?.close();
  if (server.child) await server.stop();
  await rm(directory, { recursive: true, force: true });
}
console.log(`${passed} passed, ${failed} failed, 0 skipped`);
process.exitCode = failed === 0 && passed > 0 ? 0 : 1;
