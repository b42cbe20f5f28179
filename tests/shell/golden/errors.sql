-- A mistake ends the script, and is shown where it stands.
SELECT 1 AS one;
SELECT user_id,
       amount
  FORM purchases;
SELECT 'this is not reached';
