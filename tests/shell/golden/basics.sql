-- Tables, NULL, decimals, times and text that is wider than it is long.
CREATE STREAM purchases (user_id BIGINT, amount DECIMAL(10,2), city STRING, timestamp TIMESTAMP);
INSERT INTO purchases (user_id, amount, city, timestamp) VALUES
  (1, 9.50, 'Oslo', TIMESTAMP '2026-01-01 12:00:00'),
  (2, 120.00, 'São Paulo', TIMESTAMP '2026-01-01 12:00:01.5'),
  (3, NULL, '東京', TIMESTAMP '2026-01-01 12:00:02'),
  (4, 0.05, NULL, TIMESTAMP '2026-01-01 12:00:03');
SELECT * FROM purchases ORDER BY user_id;
SELECT city, COUNT(*) AS n, SUM(amount) AS total FROM purchases GROUP BY city ORDER BY n DESC, total DESC NULLS LAST;
SELECT city FROM purchases WHERE user_id > 10;
SELECT 'a
b	c' AS "odd name", ';' AS s; /* ; /* nested ; */ */ SELECT 1 -- ; not the end
  AS one;
\d
\d purchases
DROP STREAM purchases;
