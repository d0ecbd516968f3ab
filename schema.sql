-- novex-ingest: the whole database, one file.
--
-- Everything the appliance knows is here: the events as they came, the queue that works them, and the ERP tables that
-- they become. Look with `sqlite3 -readonly events.db`; `.schema webhook_events` prints the comments below.
-- Times are UTC text to the millisecond, 2026-11-23T20:30:00.123Z, so they sort and compare as text.
-- Needs SQLite 3.37 (STRICT); Debian 12 has 3.40.

CREATE TABLE webhook_events (
  -- One row for each delivery that was acknowledged, small on purpose: it is rewritten at every change of status, the
  -- body (webhook_payloads) never. Once a row is here, the provider has been or may be told 200.
  id                INTEGER PRIMARY KEY AUTOINCREMENT, -- grows, with gaps; never used again, even after
                                             -- pruning: it is the ERP's idempotency key
  source            TEXT NOT NULL,           -- who sent it: shopify | easypost | keycloak | sps
  shop_domain       TEXT NOT NULL,           -- Shopify: x.myshopify.com; SPS: the directory; others: ''
  topic             TEXT NOT NULL,           -- what happened, in the provider's words: orders/create, tracker.updated
  webhook_id        TEXT NOT NULL,           -- the provider's id of this delivery; the same on its retries
  status            TEXT NOT NULL DEFAULT 'received' -- received → processing → completed or failed
                    CHECK (status IN ('received', 'processing', 'completed', 'failed')),
  attempts          INTEGER NOT NULL DEFAULT 0,  -- claims that counted; a graceful release gives its own back
  max_attempts      INTEGER NOT NULL DEFAULT 8,  -- at this many the event fails; `events retry` raises it
  claims            INTEGER NOT NULL DEFAULT 0,  -- claims ever made, never lowered: tells one claim from the next
  next_attempt_at   TEXT,                    -- when it is due; only while received
  locked_by         TEXT,                    -- hostname:pid of the worker that holds it; only while processing
  locked_process    TEXT,                    -- boot id / pid namespace / start time of that process: a pid comes back, this does not
  locked_at         TEXT,                    -- when it was claimed
  lease_until       TEXT,                    -- the claim may be taken over after this; renewed while the handler runs
  last_error        TEXT,                    -- why the last attempt did not complete it
  note              TEXT,                    -- what the handler had to say when it completed it
  received_at       TEXT NOT NULL,           -- when the delivery arrived
  completed_at      TEXT,                    -- when it became completed or failed
  provider_event_id TEXT,                    -- Shopify: the merchant's action, shared by all deliveries it caused
  triggered_at      TEXT,                    -- when the provider says it happened, as the provider wrote it
  same_body_as      INTEGER,                 -- an earlier event with the same bytes under another webhook_id, if any
  UNIQUE (source, shop_domain, webhook_id),  -- the only judge of duplicates
  CHECK ((status = 'processing') = (locked_by IS NOT NULL)),
  CHECK ((status = 'received') = (next_attempt_at IS NOT NULL))
) STRICT;

-- The queue. Finished rows are in none of these, so claiming costs the same with ten million events behind it.
CREATE INDEX webhook_events_due ON webhook_events (next_attempt_at, id) WHERE status = 'received';
CREATE INDEX webhook_events_held ON webhook_events (lease_until) WHERE status = 'processing';
CREATE INDEX webhook_events_failed ON webhook_events (id) WHERE status = 'failed';

CREATE TABLE webhook_payloads (
  -- What came over the wire, written once with its event and never changed.
  event_id  INTEGER PRIMARY KEY REFERENCES webhook_events (id) ON DELETE CASCADE, -- whose payload it is
  headers   TEXT NOT NULL,  -- JSON object, names in lower case, credentials left out
  body      BLOB NOT NULL,  -- the exact bytes: sqlite3 events.db "SELECT writefile('body.json', body) FROM webhook_payloads WHERE event_id = 17"
  body_hash INTEGER NOT NULL -- first 8 bytes of the body's SHA-256: finds the same body under another webhook_id
) STRICT;
CREATE INDEX webhook_payloads_by_hash ON webhook_payloads (body_hash);

CREATE TABLE webhook_event_log (
  -- Every change of status of every event, written in the transaction that made it.
  id          INTEGER PRIMARY KEY,  -- in the order the changes were made
  event_id    INTEGER NOT NULL REFERENCES webhook_events (id) ON DELETE CASCADE, -- whose change it is
  at          TEXT NOT NULL,     -- when it was made
  from_status TEXT,              -- NULL: the event arrived
  to_status   TEXT NOT NULL,     -- the status since then
  attempt     INTEGER NOT NULL,  -- the attempt it belongs to; 0 before the first
  worker      TEXT,              -- hostname:pid of who did it
  duration_ms INTEGER,           -- how long the attempt ran; NULL where nothing ran
  error       TEXT               -- why it is not completed, or what happened to the claim
) STRICT;
CREATE INDEX webhook_event_log_by_event ON webhook_event_log (event_id);

CREATE TABLE webhook_conflicts (
  -- A delivery that repeats a webhook_id with other bytes. The first one stays as it was; this one is kept beside it.
  id          INTEGER PRIMARY KEY, -- in the order they came
  event_id    INTEGER NOT NULL REFERENCES webhook_events (id) ON DELETE CASCADE, -- the event whose webhook_id it repeats
  at          TEXT NOT NULL,     -- when it came
  headers     TEXT NOT NULL,     -- its headers, as in webhook_payloads
  body        BLOB NOT NULL,     -- its exact bytes
  body_sha256 TEXT NOT NULL,     -- lower-case hex
  UNIQUE (event_id, body_sha256) -- the same other bytes again are nothing new
) STRICT;

CREATE TABLE rejected_requests (
  -- The last refused deliveries, a ring of 1,000 rows: for the question "why does the provider get a 401?".
  -- `novex-ingest events rejected` prints them with what to check. No body and no secret is kept.
  id           INTEGER PRIMARY KEY AUTOINCREMENT, -- grows; the row 1,000 before the newest is dropped
  at           TEXT NOT NULL,    -- when it came
  remote_addr  TEXT NOT NULL,    -- address it came from
  method       TEXT NOT NULL,    -- POST, if it was a delivery at all
  path         TEXT NOT NULL,    -- which address it was sent to
  http_status  INTEGER NOT NULL, -- what it was answered
  reason       TEXT NOT NULL,    -- signature_mismatch, unknown_shop, body_too_large, …
  detail       TEXT,             -- what exactly, for the reason
  header_names TEXT NOT NULL,    -- which headers came (names only), separated by spaces
  body_sha256  TEXT,             -- lower-case hex of the bytes read; NULL when none were
  body_bytes   INTEGER NOT NULL, -- how many bytes were read before the refusal
  unrecorded   INTEGER NOT NULL DEFAULT 0 -- refusals since the row before that were over the recording rate
) STRICT;

CREATE TABLE event_counts (
  -- How many events there are, by source and status, kept by the triggers below: reading it is instant at any size.
  source TEXT NOT NULL,    -- as in webhook_events
  status TEXT NOT NULL,    -- as in webhook_events
  events INTEGER NOT NULL, -- how many there are now
  PRIMARY KEY (source, status)
) STRICT, WITHOUT ROWID;

CREATE TABLE event_counts_by_hour (
  -- What happened in each hour, kept by the triggers below; read it as throughput_by_hour.
  hour      TEXT NOT NULL,              -- 2026-11-23T20
  source    TEXT NOT NULL,              -- as in webhook_events
  received  INTEGER NOT NULL DEFAULT 0, -- events that arrived
  completed INTEGER NOT NULL DEFAULT 0, -- events that were completed in it
  failed    INTEGER NOT NULL DEFAULT 0, -- events that failed for good in it
  retried   INTEGER NOT NULL DEFAULT 0, -- attempts that did not complete their event and left it to be tried again
  PRIMARY KEY (hour, source)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER webhook_events_counted AFTER INSERT ON webhook_events BEGIN
  INSERT INTO event_counts VALUES (NEW.source, NEW.status, 1)
    ON CONFLICT DO UPDATE SET events = events + 1;
  INSERT INTO event_counts_by_hour (hour, source, received) VALUES (substr(NEW.received_at, 1, 13), NEW.source, 1)
    ON CONFLICT DO UPDATE SET received = received + 1;
END;

CREATE TRIGGER webhook_events_recounted AFTER UPDATE OF status ON webhook_events WHEN OLD.status <> NEW.status BEGIN
  UPDATE event_counts SET events = events - 1 WHERE source = OLD.source AND status = OLD.status;
  INSERT INTO event_counts VALUES (NEW.source, NEW.status, 1)
    ON CONFLICT DO UPDATE SET events = events + 1;
END;

CREATE TRIGGER webhook_events_finished AFTER UPDATE OF status ON webhook_events
  WHEN NEW.status IN ('completed', 'failed') AND OLD.status <> NEW.status BEGIN
  INSERT INTO event_counts_by_hour (hour, source, completed, failed)
    VALUES (substr(NEW.completed_at, 1, 13), NEW.source, NEW.status = 'completed', NEW.status = 'failed')
    ON CONFLICT DO UPDATE SET completed = completed + excluded.completed, failed = failed + excluded.failed;
END;

CREATE TRIGGER webhook_events_retried AFTER UPDATE OF status ON webhook_events
  WHEN OLD.status = 'processing' AND NEW.status = 'received' AND NEW.attempts = OLD.attempts BEGIN
  INSERT INTO event_counts_by_hour (hour, source, retried) VALUES (substr(OLD.locked_at, 1, 13), NEW.source, 1)
    ON CONFLICT DO UPDATE SET retried = retried + 1;
END;

CREATE TRIGGER webhook_events_uncounted AFTER DELETE ON webhook_events BEGIN
  UPDATE event_counts SET events = events - 1 WHERE source = OLD.source AND status = OLD.status;
END;

CREATE TABLE write_probe (
  -- GET /healthz writes here, so that it says 200 only when an event could be stored too.
  id INTEGER PRIMARY KEY CHECK (id = 1), -- one row, written over and over
  at TEXT NOT NULL                       -- when a write succeeded last
) STRICT;

-- Views for people -----------------------------------------------------------------------------------------------

CREATE VIEW queue AS
  -- What is not finished yet, what is being worked first, then the next due: SELECT * FROM queue;
  SELECT * FROM (
    SELECT id, source, topic, shop_domain, webhook_id, status, attempts || ' of ' || max_attempts AS attempts,
           'held by ' || locked_by || ' until ' || lease_until AS due, received_at, last_error
      FROM webhook_events WHERE status = 'processing' ORDER BY lease_until)
  UNION ALL
  SELECT * FROM (
    SELECT id, source, topic, shop_domain, webhook_id, status, attempts || ' of ' || max_attempts AS attempts,
           CASE WHEN next_attempt_at <= strftime('%Y-%m-%dT%H:%M:%fZ', 'now') THEN 'now'
                ELSE next_attempt_at || ', in '
                     || CAST(round((julianday(next_attempt_at) - julianday('now')) * 86400) AS INTEGER) || ' s' END AS due,
           received_at, last_error
      FROM webhook_events WHERE status = 'received' ORDER BY next_attempt_at, id);

CREATE VIEW failures AS
  -- What failed for good, why and since when, newest first. `novex-ingest events retry ID` gives it another chance.
  SELECT id, source, topic, shop_domain, webhook_id, attempts, completed_at AS failed_at, last_error AS error, received_at
    FROM webhook_events WHERE status = 'failed' ORDER BY id DESC;

CREATE VIEW deliveries AS
  -- The trail of each event: SELECT * FROM deliveries WHERE event_id = 17;
  SELECT l.event_id, e.source, e.topic, e.webhook_id, l.at,
         coalesce(l.from_status || ' → ', '') || l.to_status AS step, l.attempt, l.worker, l.duration_ms, l.error
    FROM webhook_event_log l JOIN webhook_events e ON e.id = l.event_id ORDER BY l.event_id, l.id;

CREATE VIEW throughput_by_hour AS
  -- What came and what was done, hour by hour (UTC), the last hour first.
  SELECT hour || ':00Z' AS hour, source, received, completed, failed, retried
    FROM event_counts_by_hour ORDER BY hour DESC, source;

CREATE VIEW conflicts AS
  -- Deliveries that repeated a webhook_id with other bytes. Nothing was overwritten: compare the two bodies.
  SELECT c.id, c.at, c.event_id, e.source, e.topic, e.webhook_id,
         length(p.body) AS first_bytes, length(c.body) AS second_bytes, c.body_sha256 AS second_sha256
    FROM webhook_conflicts c JOIN webhook_events e ON e.id = c.event_id JOIN webhook_payloads p ON p.event_id = e.id
   ORDER BY c.id DESC;

-- The ERP's tables -----------------------------------------------------------------------------------------------

CREATE TABLE sales_orders (
  -- A Shopify order as its newest event left it. Money is exact decimal text in `currency`, as Shopify wrote it.
  shop_domain        TEXT NOT NULL,    -- whose order it is: numbers are unique within a shop
  order_id           INTEGER NOT NULL, -- Shopify's number, 64 bit
  name               TEXT,             -- what people call it: #1001
  currency           TEXT,             -- ISO 4217
  total              TEXT,             -- total_price
  subtotal           TEXT,             -- subtotal_price: the lines less discounts, before tax and shipping
  total_tax          TEXT,             -- all taxes together
  total_discounts    TEXT,             -- all discounts together
  financial_status   TEXT,             -- pending, authorized, paid, refunded …
  fulfillment_status TEXT,             -- NULL: nothing shipped yet; partial, fulfilled …
  po_number          TEXT,             -- the buyer's purchase order number, where one was given
  customer_id        INTEGER,          -- Shopify's number of the customer
  email              TEXT,             -- the customer's address for this order
  test               INTEGER NOT NULL DEFAULT 0 CHECK (test IN (0, 1)), -- 1: a test order, not to be shipped
  created_at         TEXT,             -- when the order was placed
  updated_at         TEXT NOT NULL,    -- decides which event is newer, whatever order they arrive in
  cancelled_at       TEXT,             -- when it was cancelled; NULL: it was not
  event_id           INTEGER NOT NULL, -- the event that wrote this row last
  PRIMARY KEY (shop_domain, order_id)
) STRICT;

CREATE TABLE sales_order_lines (
  -- The lines of a sales order, in the order's own sequence.
  shop_domain    TEXT NOT NULL,    -- with order_id: the order it belongs to
  order_id       INTEGER NOT NULL, -- as in sales_orders
  line_id        INTEGER NOT NULL, -- Shopify's number, 64 bit
  position       INTEGER NOT NULL, -- 1, 2, 3 … as on the order
  sku            TEXT,             -- the seller's own item number
  product_id     INTEGER,          -- NULL: a custom line without a product
  variant_id     INTEGER,          -- the size, flavour or case of the product
  title          TEXT,             -- the product's name when it was ordered
  variant_title  TEXT,             -- the variant's name when it was ordered
  quantity       INTEGER NOT NULL, -- units ordered
  price          TEXT,             -- of one unit, exact decimal text in the order's currency
  total_discount TEXT,             -- taken off this line, in the order's currency
  PRIMARY KEY (shop_domain, order_id, line_id),
  FOREIGN KEY (shop_domain, order_id) REFERENCES sales_orders (shop_domain, order_id) ON DELETE CASCADE
) STRICT;
