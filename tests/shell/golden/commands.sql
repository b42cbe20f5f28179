\?
\format
\format csv
SELECT 1 AS a, 'x,y' AS b;
\format
\format table
\timing on
\timing off
USE elsewhere;
