// SQL over HTTP.

import { parseExact } from "./json.js";

/** A result past this size is not held in the page. */
export const LARGEST_REPLY = 64 << 20;

/** What the server, or the way to it, said against a statement. */
export class SqlError extends Error {
  constructor({ message, code, line, column, hint, statement }) {
    super(message);
    Object.assign(this, { code, line, column, hint, statement });
  }
}

/**
 * Runs statements and returns the last one's `{columns, rows, lsn, elapsed_ms}`, with `columns` as
 * `{name, type}` and `rows` as arrays. Fails with `SqlError`; `signal` ends it early.
 */
export async function runSql(sql, signal) {
  let response;
  let text;
  try {
    response = await fetch("/api/v1/sql", {
      method: "POST",
      headers: { accept: "application/json", "content-type": "application/sql" },
      body: sql,
      signal,
    });
    text = await bounded(response);
  } catch (error) {
    if (error instanceof SqlError || error.name === "AbortError") throw error;
    throw new SqlError({ code: "unreachable", message: "The server can't be reached.", hint: "Is it running?" });
  }
  let reply;
  try {
    reply = parseExact(text);
  } catch {
    throw new SqlError({ code: String(response.status), message: `${response.status} ${response.statusText}: ${text.slice(0, 300)}` });
  }
  if (!response.ok) throw new SqlError(reply.error ?? { code: String(response.status), message: text.slice(0, 300) });
  return { ...reply, columns: reply.columns ?? [], rows: reply.rows ?? [] };
}

/** The streams there are, `{database, name, rows}` each, with all rows counted at one LSN. */
export async function listStreams() {
  const response = await fetch("/api/v1/streams");
  if (!response.ok) throw new SqlError({ code: String(response.status), message: response.statusText });
  return (await response.json()).streams;
}

/** A name as SQL takes it, whatever is in it. */
export function quoteName(name) {
  return /^[a-z_][a-z0-9_]*$/.test(name) ? name : `"${name.replaceAll('"', '""')}"`;
}

/** The body's text; more than the page can hold ends the request instead of the page. */
async function bounded(response) {
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  const parts = [];
  let size = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    size += value.length;
    if (size > LARGEST_REPLY) {
      await reader.cancel();
      throw new SqlError({
        code: "too_large",
        message: `The result is larger than ${LARGEST_REPLY >> 20} MiB.`,
        hint: "Add a LIMIT, or fetch it with curl as CSV or Arrow.",
      });
    }
    parts.push(decoder.decode(value, { stream: true }));
  }
  parts.push(decoder.decode());
  return parts.join("");
}
