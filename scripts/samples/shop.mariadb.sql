-- A small tea shop, for the first backup on a new machine: a few thousand rows, and one of each thing
-- that a dump can get wrong (unicode, binary, null against empty, generated columns, a view, a trigger,
-- a routine). Always makes the same rows.
DROP DATABASE IF EXISTS shop;
CREATE DATABASE shop CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci;
USE shop;

CREATE TABLE customers (
  id INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  name VARCHAR(100) NOT NULL,
  email VARCHAR(120) NOT NULL,
  phone VARCHAR(30) NULL COMMENT 'NULL: never asked; empty: has none',
  preferences JSON NOT NULL,
  joined_on DATE NOT NULL,
  UNIQUE KEY customers_email (email)
);

CREATE TABLE teas (
  id INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  name VARCHAR(100) NOT NULL,
  kind ENUM('black', 'green', 'white', 'oolong', 'herbal') NOT NULL,
  price_cents INT UNSIGNED NOT NULL,
  price DECIMAL(8, 2) AS (price_cents / 100) STORED,
  label_hash BINARY(32) NOT NULL
);

CREATE TABLE orders (
  id INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  customer_id INT UNSIGNED NOT NULL,
  placed_at DATETIME(6) NOT NULL,
  note TEXT NULL,
  total_cents INT UNSIGNED NOT NULL DEFAULT 0,
  KEY orders_placed_at (placed_at),
  CONSTRAINT orders_customer FOREIGN KEY (customer_id) REFERENCES customers (id)
);

CREATE TABLE order_lines (
  order_id INT UNSIGNED NOT NULL,
  line TINYINT UNSIGNED NOT NULL,
  tea_id INT UNSIGNED NOT NULL,
  grams SMALLINT UNSIGNED NOT NULL,
  PRIMARY KEY (order_id, line),
  CONSTRAINT order_lines_order FOREIGN KEY (order_id) REFERENCES orders (id) ON DELETE CASCADE,
  CONSTRAINT order_lines_tea FOREIGN KEY (tea_id) REFERENCES teas (id)
);

DELIMITER //
CREATE FUNCTION line_cents(which_tea INT UNSIGNED, how_many_grams SMALLINT UNSIGNED) RETURNS INT UNSIGNED
READS SQL DATA
RETURN (SELECT ROUND(price_cents * how_many_grams / 100) FROM teas WHERE id = which_tea) //

CREATE TRIGGER order_lines_add_up AFTER INSERT ON order_lines FOR EACH ROW
BEGIN
  -- The total is kept with the order; line prices may change later.
  UPDATE orders SET total_cents = total_cents + line_cents(NEW.tea_id, NEW.grams) WHERE id = NEW.order_id;
END //

CREATE PROCEDURE orders_of(IN wanted_customer INT UNSIGNED)
READS SQL DATA
BEGIN
  SELECT id, placed_at, total_cents FROM orders WHERE customer_id = wanted_customer ORDER BY placed_at;
END //
DELIMITER ;

CREATE VIEW turnover_by_month AS
SELECT DATE_FORMAT(placed_at, '%Y-%m') AS month, COUNT(*) AS orders, SUM(total_cents) / 100 AS turnover
FROM orders
GROUP BY DATE_FORMAT(placed_at, '%Y-%m');

START TRANSACTION;

INSERT INTO customers (name, email, phone, preferences, joined_on)
WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 600)
SELECT
  CONCAT(ELT(1 + n MOD 8, 'Ana', 'Björn', 'Chloé', 'Đorđe', 'Елена', '美咲', 'Zoë', 'O''Neil'), ' ',
         ELT(1 + n MOD 7, 'Müller', 'García', 'Łukasz', 'Σταύρος', '王', 'Smith', 'Øst')),
  CONCAT('customer', n, '@example.org'),
  CASE n MOD 3 WHEN 0 THEN NULL WHEN 1 THEN '' ELSE CONCAT('+49 30 ', 100000 + n) END,
  JSON_OBJECT('newsletter', n MOD 2 = 0, 'likes', JSON_ARRAY(ELT(1 + n MOD 3, 'green', 'black', 'herbal'), '🍵')),
  DATE_ADD('2023-01-01', INTERVAL n DAY)
FROM numbers;

INSERT INTO teas (name, kind, price_cents, label_hash)
WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 120)
SELECT
  CONCAT(ELT(1 + n MOD 6, 'Assam', '龍井', 'Darjeeling "First Flush"', 'Ceylon', 'Rooibos \\ Honig', 'Hōjicha'), ' no. ', n),
  ELT(1 + n MOD 5, 'black', 'green', 'white', 'oolong', 'herbal'),
  290 + (n * 37) MOD 900,
  UNHEX(SHA2(CONCAT('label', n), 256))
FROM numbers;

INSERT INTO orders (customer_id, placed_at, note)
WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 1000)
SELECT
  1 + (n * 7919) MOD 600,
  DATE_ADD('2024-01-01 08:00:00.000001', INTERVAL n * 411 MINUTE),
  CASE n MOD 4 WHEN 0 THEN 'a gift 🎁\nplease wrap; it''s "urgent"' WHEN 1 THEN '' ELSE NULL END
FROM numbers;

-- Not read from `orders`, which the trigger writes to.
INSERT INTO order_lines (order_id, line, tea_id, grams)
WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 1000)
SELECT o.n, l.n, 1 + (o.n * 31 + l.n * 17) MOD 120, 50 * (1 + (o.n + l.n) MOD 10)
FROM numbers AS o JOIN numbers AS l ON l.n <= 3
ORDER BY o.n, l.n;

COMMIT;
