// A `tidemill serve` of the test's own: started on a data directory, asked over HTTP, ended by SIGTERM.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { setTimeout as pause } from "node:timers/promises";

const START_MS = 20_000;
const STOP_MS = 20_000;

export class Server {
  constructor(binary, directory) {
    this.binary = binary;
    this.directory = directory;
    this.port = 0;
    this.output = "";
  }

  get origin() {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Starts it, on the port it had before if there was one, and waits until it is ready. */
  async start() {
    const words = ["serve", "--data-dir", this.directory, "--listen", `127.0.0.1:${this.port}`, "--file-root", this.directory];
    const child = spawn(this.binary, words, {
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.child = child;
    process.once("exit", () => child.kill());
    this.ended = once(child, "exit");
    const printed = new Promise((resolve, reject) => {
      const read = (chunk) => {
        this.output += chunk;
        const address = /127\.0\.0\.1:([1-9]\d*)/.exec(this.output);
        if (address) resolve(Number(address[1]));
      };
      child.stdout.on("data", read);
      child.stderr.on("data", read);
      child.on("error", reject);
      child.on("exit", (code) => reject(new Error(`the server ended with status ${code}:\n${this.output}`)));
      setTimeout(() => reject(new Error(`no address was printed within ${START_MS} ms:\n${this.output}`)), START_MS).unref();
    });
    this.port = await printed;
    await this.#ready();
  }

  /** SIGTERM; returns the exit status. */
  async stop() {
    if (this.child.exitCode !== null) return this.child.exitCode;
    this.child.kill("SIGTERM");
    const late = setTimeout(() => this.child.kill("SIGKILL"), STOP_MS);
    const [code] = await this.ended;
    clearTimeout(late);
    return code;
  }

  /** Runs SQL and returns the reply; fails with the server's words. */
  async sql(text) {
    const response = await fetch(`${this.origin}/api/v1/sql`, { method: "POST", body: text });
    const reply = await response.text();
    if (!response.ok) throw new Error(`${text}\n  ${response.status} ${reply}`);
    return JSON.parse(reply);
  }

  /** Posts rows as NDJSON and returns the acknowledgement; every row must be accepted. */
  async post(stream, rows) {
    const response = await fetch(`${this.origin}/api/v1/ingest/${stream}`, {
      method: "POST",
      headers: { "content-type": "application/x-ndjson" },
      body: rows.map((row) => `${JSON.stringify(row)}\n`).join(""),
    });
    const reply = await response.text();
    if (!response.ok) throw new Error(`posting to ${stream}: ${response.status} ${reply}`);
    const ack = JSON.parse(reply);
    if (ack.accepted !== rows.length) throw new Error(`posting to ${stream}: ${rows.length} rows sent, ${reply}`);
    return ack;
  }

  // Readiness has nothing to wait for but the asking itself.
  async #ready() {
    const deadline = Date.now() + START_MS;
    for (;;) {
      const response = await fetch(`${this.origin}/ready`).catch(() => null);
      if (response?.status === 200) return;
      if (Date.now() > deadline) throw new Error(`/ready did not answer 200 within ${START_MS} ms:\n${this.output}`);
      await pause(50);
    }
  }
}
