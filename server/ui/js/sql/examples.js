// Statements to begin with, shown until the first result takes their place.

import { h } from "../dom.js";

const EXAMPLES = [
  ["What is there", "SHOW STREAMS"],
  [
    "Create a stream",
    `CREATE STREAM purchases (
  user_id BIGINT,
  amount DECIMAL(10,2),
  city STRING,
  timestamp TIMESTAMP
)`,
  ],
  [
    "Insert a row",
    `INSERT INTO purchases (user_id, amount, city, timestamp)
VALUES (7, 12.50, 'Oslo', now())`,
  ],
  [
    "Revenue a minute",
    `SELECT time_bucket('1 minute', timestamp) AS minute, city, SUM(amount) AS revenue
FROM purchases
GROUP BY minute, city
ORDER BY minute`,
  ],
  [
    "Watch it live",
    `SELECT city, COUNT(*) AS purchase_count, SUM(amount) AS total_revenue
FROM purchases
WINDOW TUMBLING (SIZE 1 MINUTE)
GROUP BY city
EMIT CHANGES`,
  ],
  [
    "Keep a view",
    `CREATE MATERIALIZED VIEW revenue_by_city AS
SELECT city, COUNT(*) AS purchase_count, SUM(amount) AS total_revenue
FROM purchases
WINDOW TUMBLING (SIZE 1 MINUTE)
GROUP BY city`,
  ],
];

/** Buttons that hand an example to `choose(sql)`. */
export function exampleList(choose) {
  const buttons = EXAMPLES.map(([title, sql]) => h("button", { type: "button", class: "quiet small", title: sql, onclick: () => choose(sql) }, title));
  return h("div", { class: "examples" }, "Try", ...buttons);
}
