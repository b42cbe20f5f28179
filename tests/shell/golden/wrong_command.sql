\format xml
SELECT 'this is not reached';
