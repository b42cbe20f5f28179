// Just enough of SQL's spelling to colour it, to split statements and to see whether one runs live.
// What is valid is the server's to say.

const TOKEN =
  /(?<comment>--[^\n]*|\/\*[\s\S]*?(?:\*\/|$))|(?<string>'(?:[^']|'')*(?:'|$))|(?<quoted>"(?:[^"]|"")*(?:"|$))|(?<number>\b\d+(?:\.\d+)?(?:[eE][+-]?\d+)?\b)|(?<word>[\p{L}_][\p{L}\p{N}_$]*)|(?<space>\s+)|(?<mark>[^])/gu;

// Units of time are left out: they are as often the name of a column.
const KEYWORDS = new Set(
  `ADVANCE ALL ALTER ANALYZE AND ANY AS ASC ASOF BETWEEN BY CASE CAST CHANGES CREATE CROSS CUMULATE DATABASE
  DATABASES DELETE DESC DESCRIBE DISTINCT DROP ELSE EMIT END EXCEPT EXISTS EXPLAIN EXTRACT FALSE FILTER FINAL
  FIRST FROM FULL GRACE GROUP HAVING HOP HOPPING ILIKE IN INNER INSERT INTERSECT INTERVAL INTO IS JOIN LAST
  LATEST LEFT LIKE LIMIT MATCH_RECOGNIZE MATERIALIZED NOT NULL NULLS OFFSET ON OR ORDER OUTER OVER PARTITION
  PERIOD RIGHT SELECT SESSION SHOW SIZE STREAM STREAMS TABLE TABLES TAG THEN TRUE TUMBLE TUMBLING UNION USE
  USING VALUES VIEW VIEWS WHEN WHERE WINDOW WITH WITHIN`.split(/\s+/),
);

/** The tokens of a text, gapless: `{kind, text, start}`; a word is a `keyword`, a `call` or a `name`. */
export function tokens(sql) {
  const found = [];
  for (const match of sql.matchAll(TOKEN)) {
    const kind = Object.keys(match.groups).find((name) => match.groups[name] !== undefined);
    found.push({ kind, text: match[0], start: match.index });
  }
  found.forEach((token, i) => {
    if (token.kind !== "word") return;
    if (found[i + 1]?.text === "(" && !/^(IN|AND|OR|NOT|AS|VALUES|WITH|OVER|BY)$/i.test(token.text)) token.kind = "call";
    else token.kind = KEYWORDS.has(token.text.toUpperCase()) ? "keyword" : "name";
  });
  return found;
}

/** The statements of a text, without their semicolons; empty ones are left out. */
export function statements(sql) {
  const parts = [];
  let start = 0;
  let solid = false;
  const close = (end) => {
    if (solid) parts.push({ text: sql.slice(start, end), start });
    solid = false;
  };
  for (const token of tokens(sql)) {
    if (token.text === ";" && token.kind === "mark") {
      close(token.start);
      start = token.start + 1;
    } else if (token.kind !== "space" && token.kind !== "comment") {
      solid = true;
    }
  }
  close(sql.length);
  return parts;
}

/** Whether a statement is a query that pushes its changes, and so has no end. */
export function runsLive(statement) {
  const words = tokens(statement).filter((token) => token.kind !== "space" && token.kind !== "comment");
  if (!/^(SELECT|WITH|FROM)$/i.test(words[0]?.text ?? "")) return false;
  return words.some((token, i) => /^EMIT$/i.test(token.text) && /^(CHANGES|FINAL)$/i.test(words[i + 1]?.text ?? ""));
}

/** The offset of a 1-based line and column (in characters), kept inside the text. */
export function offsetOf(sql, line, column) {
  let start = 0;
  for (let i = 1; i < line; i += 1) {
    const end = sql.indexOf("\n", start);
    if (end < 0) break;
    start = end + 1;
  }
  // Columns count characters, strings count UTF-16 units.
  const skipped = [...sql.slice(start)].slice(0, Math.max(0, column - 1)).join("");
  return Math.min(sql.length, start + skipped.length);
}
