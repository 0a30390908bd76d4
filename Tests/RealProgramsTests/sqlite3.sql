DROP TABLE IF EXISTS word_numbers; DROP TABLE IF EXISTS words; DROP TABLE IF EXISTS numbers;
DROP TABLE IF EXISTS texts; DROP TABLE IF EXISTS boxes; DROP TABLE IF EXISTS log;
DROP VIEW IF EXISTS squares; DROP TABLE IF EXISTS documents; DROP TABLE IF EXISTS copy;
CREATE TABLE numbers(n INTEGER PRIMARY KEY, square INTEGER, root REAL, name TEXT);
CREATE TABLE words(id INTEGER PRIMARY KEY, word TEXT UNIQUE COLLATE NOCASE, weight REAL DEFAULT 1.5);
CREATE TABLE word_numbers(word REFERENCES words(id) ON DELETE CASCADE, n REFERENCES numbers(n));
CREATE TABLE log(what TEXT, n INTEGER);
CREATE TRIGGER noted AFTER UPDATE OF square ON numbers BEGIN
  INSERT INTO log VALUES('update', new.n); END;
CREATE VIEW squares AS SELECT n, square FROM numbers WHERE square % 2 = 1;
PRAGMA foreign_keys = on;
BEGIN;
INSERT INTO numbers WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 20000)
  SELECT x, x * x, round(sqrt(x), 6), printf('%05d-%x', x, x * 7919 % 65536) FROM c;
INSERT INTO words(word) SELECT DISTINCT substr(name, 7) FROM numbers WHERE n % 13 = 0;
INSERT INTO word_numbers SELECT id, id % 20000 + 1 FROM words;
COMMIT;
CREATE INDEX by_name ON numbers(name DESC, square);
CREATE INDEX partial ON numbers(root) WHERE n % 10 = 0;
ANALYZE;
SELECT count(*), sum(n), avg(square), min(name), max(name), total(root) FROM numbers;
SELECT count(*) FROM words JOIN word_numbers ON word_numbers.word = words.id JOIN numbers USING (n);
SELECT n % 7 AS k, count(*), group_concat(n, '/') FILTER (WHERE n < 60) FROM numbers GROUP BY k HAVING k > 2;
SELECT n, rank() OVER w, lag(n, 2, -1) OVER w, ntile(4) OVER w, sum(n) OVER (w ROWS 3 PRECEDING)
  FROM numbers WHERE n < 40 WINDOW w AS (PARTITION BY n % 3 ORDER BY square DESC);
SELECT * FROM squares WHERE n BETWEEN 100 AND 120 EXCEPT SELECT n, square FROM numbers WHERE n = 105;
WITH RECURSIVE fib(a, b) AS (VALUES(0, 1) UNION ALL SELECT b, a + b FROM fib LIMIT 60) SELECT max(a) FROM fib;
SELECT hex(zeroblob(4)), quote(x'0102'), typeof(1.0), upper('abc'), instr('hello', 'l'),
  replace('banana', 'an', '<>'), trim('  x '), abs(-3), round(2.567, 2), unicode('ü'), char(65, 252),
  coalesce(NULL, 7), nullif(1, 1), iif(1 < 2, 'yes', 'no'), likely(1), soundex IS NULL FROM (SELECT NULL AS soundex);
SELECT date('2024-02-29', '+1 year', 'start of month'), strftime('%j %W %s', '2024-06-15 12:34:56'),
  julianday('2000-01-01'), datetime(1e9, 'unixepoch');
SELECT json_extract('{"a":[1,2,{"b":"c"}]}', '$.a[2].b'), json_set('{"x":1}', '$.y', json('[1,2]')),
  json_group_array(n) FROM numbers WHERE n < 6;
SELECT key, value, type, fullkey FROM json_tree('{"a":[true,null,{"d":4.5}],"e":"f"}');
SELECT sin(1), atan2(1, 2), pow(2, 0.5), log10(1000), ceil(1.2), mod(17, 5);
UPDATE numbers SET square = square + 1 WHERE n % 1000 = 0 RETURNING n, square;
SELECT count(*), max(n) FROM log;
INSERT INTO words(word) VALUES('UPSERT') ON CONFLICT(word) DO UPDATE SET weight = weight * 2;
INSERT INTO words(word) VALUES('upsert') ON CONFLICT(word) DO UPDATE SET weight = weight * 2 RETURNING word, weight;
DELETE FROM words WHERE id % 3 = 0;
SELECT count(*) FROM word_numbers;
SAVEPOINT one;
DELETE FROM log WHERE n > 5000;
SELECT count(*) FROM log;
ROLLBACK TO one;
RELEASE one;
SELECT count(*) FROM log;
-- Errors are results too.
DELETE FROM numbers WHERE n > 10;
INSERT INTO words(id, word) VALUES(1, 'taken');
INSERT INTO nowhere VALUES(1);
SELECT nothing FROM words;
SELECT 1 +;
INSERT INTO word_numbers VALUES(999999, 1);
CREATE VIRTUAL TABLE documents USING fts5(title, body, tokenize = 'porter');
INSERT INTO documents SELECT 'title ' || n, 'running runner ran number ' || name || ' of many' FROM numbers WHERE n <= 2000;
SELECT count(*) FROM documents WHERE documents MATCH 'run AND many NOT title:17';
SELECT snippet(documents, 1, '[', ']', '…', 5), round(bm25(documents), 4) FROM documents WHERE documents MATCH 'NEAR(number many)' ORDER BY rowid LIMIT 3;
CREATE VIRTUAL TABLE texts USING fts3(body);
INSERT INTO texts SELECT 'the quick brown fox ' || n FROM numbers WHERE n < 200;
SELECT offsets(texts) FROM texts WHERE body MATCH 'quick fox' LIMIT 2;
CREATE VIRTUAL TABLE boxes USING rtree(id, x0, x1, y0, y1);
INSERT INTO boxes SELECT n, n % 100, n % 100 + 5, n / 100, n / 100 + 3 FROM numbers WHERE n < 5000;
SELECT count(*), sum(id) FROM boxes WHERE x0 > 20 AND x1 < 60 AND y0 >= 10 AND y1 <= 30;
EXPLAIN QUERY PLAN SELECT * FROM numbers JOIN words ON n = id WHERE name > '0' AND word LIKE 'a%';
SELECT name, rootpage > 0 FROM sqlite_schema WHERE type = 'index' ORDER BY name;
SELECT count(*) > 5 FROM dbstat;
ALTER TABLE log RENAME COLUMN what TO event; ALTER TABLE log ADD COLUMN extra DEFAULT 'x'; SELECT * FROM log LIMIT 2;
CREATE TABLE copy(a PRIMARY KEY, b) WITHOUT ROWID; INSERT INTO copy SELECT name, n FROM numbers WHERE n % 5 = 1;
REINDEX; VACUUM; PRAGMA integrity_check; PRAGMA foreign_key_check;
SELECT * FROM numbers ORDER BY name LIMIT 5 OFFSET 19000;
.mode box
SELECT n, name FROM numbers LIMIT 3;
.mode json
SELECT n, name FROM numbers LIMIT 3;
.mode csv
SELECT n, name, NULL FROM numbers LIMIT 3;
.mode insert
SELECT n, name, x'ab' FROM numbers LIMIT 3;
.mode list
.schema numbers
.tables
.indexes numbers
.dump log
.sha3sum
SELECT 'end of the script';
