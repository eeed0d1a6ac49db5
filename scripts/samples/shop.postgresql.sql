-- The same tea shop as in shop.mariadb.sql, in PostgreSQL's words: with an enum type, an array, jsonb,
-- an identity column and a sequence. Is run inside an empty database. Always makes the same rows.
BEGIN;

CREATE TYPE tea_kind AS ENUM ('black', 'green', 'white', 'oolong', 'herbal');
CREATE SEQUENCE invoice_numbers START WITH 10000;

CREATE TABLE customers (
  id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name text NOT NULL,
  email text NOT NULL UNIQUE,
  phone text,
  preferences jsonb NOT NULL,
  joined_on date NOT NULL
);
COMMENT ON COLUMN customers.phone IS 'NULL: never asked; empty: has none';

CREATE TABLE teas (
  id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name text NOT NULL,
  kind tea_kind NOT NULL,
  flavours text[] NOT NULL,
  price_cents integer NOT NULL CHECK (price_cents > 0),
  price numeric(8, 2) GENERATED ALWAYS AS (price_cents / 100.0) STORED,
  label_hash bytea NOT NULL
);

CREATE TABLE orders (
  id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  invoice integer NOT NULL UNIQUE DEFAULT nextval('invoice_numbers'),
  customer_id integer NOT NULL REFERENCES customers (id),
  placed_at timestamptz NOT NULL,
  note text,
  total_cents integer NOT NULL DEFAULT 0
);
CREATE INDEX orders_placed_at ON orders (placed_at);

CREATE TABLE order_lines (
  order_id integer NOT NULL REFERENCES orders (id) ON DELETE CASCADE,
  line smallint NOT NULL,
  tea_id integer NOT NULL REFERENCES teas (id),
  grams smallint NOT NULL,
  PRIMARY KEY (order_id, line)
);

CREATE FUNCTION line_cents(which_tea integer, how_many_grams integer) RETURNS integer
LANGUAGE sql STABLE
AS $$ SELECT round(price_cents * how_many_grams / 100.0)::integer FROM teas WHERE id = which_tea $$;

CREATE FUNCTION add_up_order() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
  -- The total is kept with the order; line prices may change later.
  UPDATE orders SET total_cents = total_cents + line_cents(NEW.tea_id, NEW.grams) WHERE id = NEW.order_id;
  RETURN NULL;
END
$$;
CREATE TRIGGER order_lines_add_up AFTER INSERT ON order_lines FOR EACH ROW EXECUTE FUNCTION add_up_order();

CREATE VIEW turnover_by_month AS
SELECT to_char(placed_at AT TIME ZONE 'UTC', 'YYYY-MM') AS month, count(*) AS orders, sum(total_cents) / 100.0 AS turnover
FROM orders
GROUP BY 1;

INSERT INTO customers (name, email, phone, preferences, joined_on)
SELECT
  (ARRAY['Ana', 'Björn', 'Chloé', 'Đorđe', 'Елена', '美咲', 'Zoë', 'O''Neil'])[1 + n % 8] || ' ' ||
  (ARRAY['Müller', 'García', 'Łukasz', 'Σταύρος', '王', 'Smith', 'Øst'])[1 + n % 7],
  'customer' || n || '@example.org',
  CASE n % 3 WHEN 0 THEN NULL WHEN 1 THEN '' ELSE '+49 30 ' || (100000 + n) END,
  jsonb_build_object('newsletter', n % 2 = 0,
                     'likes', jsonb_build_array((ARRAY['green', 'black', 'herbal'])[1 + n % 3], '🍵')),
  DATE '2023-01-01' + n
FROM generate_series(1, 600) AS n;

INSERT INTO teas (name, kind, flavours, price_cents, label_hash)
SELECT
  (ARRAY['Assam', '龍井', 'Darjeeling "First Flush"', 'Ceylon', 'Rooibos \ Honig', 'Hōjicha'])[1 + n % 6] || ' no. ' || n,
  (ARRAY['black', 'green', 'white', 'oolong', 'herbal'])[1 + n % 5]::tea_kind,
  CASE n % 3 WHEN 0 THEN '{}' ELSE ARRAY['malty', 'with, comma', 'with "quotes"'] END,
  290 + (n * 37) % 900,
  sha256(convert_to('label' || n, 'UTF8'))
FROM generate_series(1, 120) AS n;

INSERT INTO orders (customer_id, placed_at, note)
SELECT
  1 + (n * 7919) % 600,
  TIMESTAMPTZ '2024-01-01 08:00:00.000001+00' + n * INTERVAL '411 minutes',
  CASE n % 4 WHEN 0 THEN E'a gift 🎁\nplease wrap; it''s "urgent"' WHEN 1 THEN '' END
FROM generate_series(1, 1000) AS n;

INSERT INTO order_lines (order_id, line, tea_id, grams)
SELECT orders.id, n, 1 + (orders.id * 31 + n * 17) % 120, 50 * (1 + (orders.id + n) % 10)
FROM orders CROSS JOIN generate_series(1, 3) AS n
ORDER BY orders.id, n;

COMMIT;
