SELECT 1 AS one;
\q
SELECT 'this is not reached';
