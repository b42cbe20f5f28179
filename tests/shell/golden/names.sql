CREATE STREAM Sales (Amount DOUBLE, time TIMESTAMP); SELECT amount, amuont FROM sales;
SELECT 'this is not reached';
