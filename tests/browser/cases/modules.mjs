// The page's own modules, in the browser they are for: properties against plain models.

import assert from "node:assert/strict";

/** Runs a function in the page with a module loaded and a seeded source of randomness. */
async function inPage({ open }, module, check) {
  const { page } = await open();
  const seed = Date.now() % 1_000_000;
  const body = `async () => {
    let state = ${seed} + 1;
    const random = (n) => {
      state = (state * 48271) % 2147483647;
      return state % n;
    };
    return (${check})(await import("/js/${module}"), random);
  }`;
  const result = await page.evaluate(`(${body})()`);
  assert.equal(result, null, `seed ${seed}: ${result}`);
}

export const cases = [
  [
    "folding a changelog gives the rows of a plain model",
    (context) =>
      inPage(context, "rowset.js", ({ RowSet }, random) => {
        const set = new RowSet();
        const model = [];
        for (let frame = 0; frame < 500; frame += 1) {
          const retract = model.splice(random(model.length + 1), random(4));
          const insert = Array.from({ length: random(5) }, () => [random(5), "ab"[random(2)], random(3) ? null : [random(2)]]);
          if (!set.apply(insert, retract)) return "a sound frame was refused";
          model.push(...insert);
          if (set.size !== model.length) return `size ${set.size}, model ${model.length}`;
          const want = [...new Set(model.map((row) => JSON.stringify(row)))].sort();
          const have = [...set].map((row) => JSON.stringify(row)).sort();
          if (want.join() !== have.join()) return `rows ${have} instead of ${want}`;
        }
        if (set.apply([], [["never", "there", 1]])) return "a retract of a row that is not there was taken";
        const small = new RowSet(10);
        small.apply(Array.from({ length: 50 }, (_, i) => [i]), []);
        if ([...small].length !== 10 || small.size !== 50 || !small.overflowed) return "the bound does not hold";
        return null;
      }),
  ],
  [
    "a channel takes what follows on and asks again when a frame is missing",
    (context) =>
      inPage(context, "channel.js", ({ Channel }) => {
        const seen = [];
        const fresh = () => {
          const channel = new Channel("view:v", null);
          seen.length = 0;
          channel.listeners.add({ reset: () => seen.push("reset"), rows: (insert) => seen.push(...insert.flat()), status: () => {} });
          channel.greeting();
          channel.take({ type: "subscribed", topic: "view:v", columns: ["a"], epoch: 1, seq: 5 });
          channel.take({ type: "snapshot", epoch: 1, seq: 5, rows: [[1]], done: false });
          channel.take({ type: "snapshot", epoch: 1, seq: 5, rows: [[2]], done: true });
          return channel;
        };
        const change = (prev, seq, value, epoch = 1) => ({ type: "changes", epoch, prev, seq, insert: [[value]], retract: [] });
        const expect = (text) => (seen.join() === text ? null : `saw ${seen.join()} instead of ${text}`);

        let channel = fresh();
        if (!channel.take(change(5, 7, 3)) || !channel.take(change(7, 9, 4))) return "frames that follow on were refused";
        if (expect("reset,1,2,3,4")) return expect("reset,1,2,3,4");
        if (channel.take(change(8, 11, 5))) return "an overlapping frame was taken";
        channel = fresh();
        if (channel.take(change(6, 8, 3))) return "a frame after a missing one was taken";
        channel = fresh();
        if (channel.take(change(5, 7, 3, 2))) return "a frame of another epoch was taken";
        channel = fresh();
        const wide = (type, rest) => ({ type, epoch: { toString: () => "9007199254740993" }, seq: 5, ...rest });
        channel.take(wide("snapshot", { rows: [], done: true }));
        if (!channel.take(wide("changes", { prev: 5, seq: 6, insert: [], retract: [] }))) return "a 64-bit epoch was not known again";
        channel = fresh();
        channel.take({ type: "heartbeat", seq: 12, watermark: null });
        if (!channel.take(change(12, 14, 3))) return "a heartbeat did not move the place";
        channel = fresh();
        channel.take({ type: "gap", reason: "slow" });
        if (!channel.take(change(30, 31, 9))) return "a frame between a gap and its snapshot asked again";
        channel.take({ type: "snapshot", epoch: 1, seq: 40, rows: [[8]], done: true });
        if (!channel.take(change(40, 41, 7))) return "a snapshot after a gap did not settle it";
        return expect("reset,1,2,reset,8,7");
      }),
  ],
  [
    "flights add up whatever the order of inserts and retracts",
    (context) =>
      inPage(context, "panels/flights.js", ({ FlightCounts }, random) => {
        const counts = new FlightCounts();
        const start = 980_000_400 - (980_000_400 % 900);
        const final = new Map();
        const events = [];
        for (let i = 0; i < 400; i += 1) {
          const minute = start + 60 * random(60);
          const airport = `A${random(12)}`;
          const key = `${minute} ${airport}`;
          const before = final.get(key) ?? 0;
          if (before) events.push([minute, airport, -before]);
          events.push([minute, airport, before + 1]);
          final.set(key, before + 1);
        }
        events.push([start, "A0", 1], [start + 59 * 60, "A0", 1]);
        for (let i = events.length - 1; i > 0; i -= 1) {
          const j = random(i + 1);
          [events[i], events[j]] = [events[j], events[i]];
        }
        for (const [time, airport, flights] of events) counts.add(time, airport, flights);
        const { times, lines } = counts.binned(3600, 60);
        if (times.length !== 60 || times[59] !== start + 59 * 60) return `times end at ${times[59]}`;
        if (lines.length !== 8) return `${lines.length} lines`;
        const drawn = lines.flatMap((line) => line.values).reduce((a, b) => a + b, 0);
        return drawn === 402 ? null : `${drawn} flights drawn instead of 402`;
      }),
  ],
  [
    "SQL text is split, coloured without loss, and seen to be live or not",
    (context) =>
      inPage(context, "sql/text.js", ({ offsetOf, runsLive, statements, tokens }, random) => {
        const soup = ["SELECT", " ", "'a;b'", '"x;y"', "--c;\n", "/* ; */", ";", "é", "1.5e3", "(", "'", "\n", "𝕏", "EMIT"];
        for (let i = 0; i < 2000; i += 1) {
          const text = Array.from({ length: random(12) }, () => soup[random(soup.length)]).join("");
          const again = tokens(text).map((token) => token.text).join("");
          if (again !== text) return `${JSON.stringify(text)} became ${JSON.stringify(again)}`;
        }
        const split = statements("SELECT ';' ; -- a;b\n ; /* ; */ SELECT \"a;b\" ").map(({ text }) => text.trim());
        if (split.join("|") !== "SELECT ';'|/* ; */ SELECT \"a;b\"") return `split into ${split.join("|")}`;
        const live = ["SELECT a FROM b EMIT CHANGES", "with x as (select 1) select * from x emit final", "SELECT 1 EMIT -- now\n CHANGES LIMIT 5"];
        const finite = ["SELECT 'EMIT CHANGES'", "CREATE VIEW v AS SELECT a FROM b EMIT CHANGES", "SELECT emit, changes FROM t", "SELECT 1 -- EMIT CHANGES"];
        for (const text of live) if (!runsLive(text)) return `not live: ${text}`;
        for (const text of finite) if (runsLive(text)) return `live: ${text}`;
        if (offsetOf("a\n𝕏b\nc", 2, 2) !== 4) return "a column counts characters";
        if (offsetOf("ab", 9, 9) !== 2) return "a place past the end stays inside";
        return null;
      }),
  ],
  [
    "numbers, times and CSV are written without loss",
    async (context) => {
      await inPage(context, "json.js", ({ parseExact }, random) => {
        for (const text of ["9007199254740993", "12.50", "-0.10", "1e400", "123456789012345678901234567890.12"]) {
          if (String(parseExact(`[${text}]`)[0]) !== text) return `${text} became ${parseExact(`[${text}]`)[0]}`;
          if (JSON.stringify(parseExact(text)) !== `"${text}"`) return `${text} has lost its text`;
        }
        for (let i = 0; i < 1000; i += 1) {
          const number = (random(2_000_000) - 1_000_000) / 2 ** random(20);
          if (parseExact(String(number)) !== number) return `${number} is no plain number any more`;
        }
        return null;
      });
      await inPage(context, "sql/csv.js", ({ toCsv }) => {
        const text = toCsv([{ name: "a" }, { name: 'q"' }], [["x,y", null], ['say "hi"', [1, "b"]], ["line\nbreak", 1.5]]);
        const want = 'a,"q"""\r\n"x,y",\r\n"say ""hi""","[1,""b""]"\r\n"line\nbreak",1.5\r\n';
        return text === want ? null : JSON.stringify(text);
      });
      await inPage(context, "format.js", ({ bytes, cell, compact, dateTime, millis, span, toMillis }) => {
        const day = Date.parse("2001-01-05T08:15:00Z");
        const pairs = [
          [toMillis(day), day],
          [toMillis(day / 1000), day],
          [toMillis(day * 1e6), day],
          [toMillis("2001-01-05T08:15:00.000000000Z"), day],
          [cell("2001-01-05T08:15:00.123456789Z"), "2001-01-05 08:15:00.123456789"],
          [cell("2001-01-05"), "2001-01-05"],
          [dateTime(NaN), "–"],
          [span(day, day + 3_600_000), "2001-01-05 08:15–09:15"],
          [compact(999.6), "1.00 k"],
          [compact(1_234_567), "1.23 M"],
          [bytes(1536), "1.50 KiB"],
          [millis(0.25), "250 µs"],
          [millis(61_000), "1.02 min"],
          [millis(null), "–"],
        ];
        const wrong = pairs.find(([have, want]) => have !== want);
        return wrong ? `${wrong[0]} instead of ${wrong[1]}` : null;
      });
    },
  ],
];
