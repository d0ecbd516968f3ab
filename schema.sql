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
  same_name_as      INTEGER,                 -- SPS: an earlier event from a file of this name with other bytes, if any
  erased_at         TEXT,                    -- when what it said was erased because Shopify asked for it; NULL: it was not
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

-- Handing on to destinations ----------------------------------------------------------------------------------------

CREATE TABLE destination_deliveries (
  -- One row for each event and destination that takes it, made in the transaction that completes the event. Delivered at least
  -- once: the event's id is the key by which the other side takes it once.
  id              INTEGER PRIMARY KEY AUTOINCREMENT, -- in the order of the events' completion
  event_id        INTEGER NOT NULL REFERENCES webhook_events (id) ON DELETE CASCADE, -- what is handed on
  destination     TEXT NOT NULL,               -- its name in the configuration
  ordering_key    TEXT NOT NULL,               -- what two deliveries must not overtake each other for: shop and order; '' for nothing
  status          TEXT NOT NULL DEFAULT 'pending' -- pending → delivering → delivered or failed
                  CHECK (status IN ('pending', 'delivering', 'delivered', 'failed')),
  attempts        INTEGER NOT NULL DEFAULT 0,  -- attempts that counted; one that found a destination still down and out of reach does not
  max_attempts    INTEGER NOT NULL,            -- at this many it fails; `events retry` gives new ones
  claims          INTEGER NOT NULL DEFAULT 0,  -- claims ever made: tells one claim from the next
  next_attempt_at TEXT,                        -- when it is due; only while pending
  not_before      TEXT,                        -- when the destination asked for it (Retry-After), or others are to be tried first; NULL: neither
  locked_by       TEXT,                        -- hostname:pid of who delivers it; only while delivering
  locked_process  TEXT,                        -- boot id / pid namespace / start time of that process
  lease_until     TEXT,                        -- the claim may be taken over after this
  last_error      TEXT,                        -- why the last attempt did not deliver it
  created_at      TEXT NOT NULL,               -- when the event was completed
  finished_at     TEXT,                        -- when it was delivered or failed
  UNIQUE (event_id, destination),
  CHECK ((status = 'delivering') = (locked_by IS NOT NULL)),
  CHECK ((status = 'pending') = (next_attempt_at IS NOT NULL))
) STRICT;
CREATE INDEX destination_deliveries_due ON destination_deliveries (destination, event_id) WHERE status = 'pending';
CREATE INDEX destination_deliveries_held ON destination_deliveries (destination, ordering_key) WHERE status = 'delivering';
CREATE INDEX destination_deliveries_in_order ON destination_deliveries (destination, ordering_key, event_id) WHERE status = 'pending';
CREATE INDEX destination_deliveries_failed ON destination_deliveries (id) WHERE status = 'failed';

CREATE TABLE destination_delivery_log (
  -- Every attempt at every delivery.
  id          INTEGER PRIMARY KEY, -- in the order they ended
  delivery_id INTEGER NOT NULL REFERENCES destination_deliveries (id) ON DELETE CASCADE, -- which delivery
  at          TEXT NOT NULL,       -- when it ended
  to_status   TEXT NOT NULL,       -- the delivery's status since then
  attempt     INTEGER NOT NULL,    -- which attempt
  worker      TEXT,                -- hostname:pid of who made it
  duration_ms INTEGER,             -- how long it took; NULL where nothing ran
  error       TEXT                 -- why it was not delivered
) STRICT;
CREATE INDEX destination_delivery_log_by_delivery ON destination_delivery_log (delivery_id);

CREATE TABLE destinations (
  -- How each destination is doing; shared by all processes. `novex-ingest destinations list` shows it.
  name            TEXT PRIMARY KEY,            -- as in the configuration
  paused_at       TEXT,                        -- since when an operator holds it: `novex-ingest destinations pause`
  failures        INTEGER NOT NULL DEFAULT 0,  -- one after another, until now
  down_since      TEXT,                        -- it counts as down since then; NULL: it does not
  rest_until      TEXT,                        -- nothing is tried before this; then one delivery, to see whether it is back
  last_error      TEXT,                        -- why the last attempt failed
  last_success_at TEXT                         -- when it took something last
) STRICT;

-- Privacy ---------------------------------------------------------------------------------------------------------

CREATE TABLE erased_subjects (
  -- Whom and what an erasure was about (customers/redact, shop/redact), so that an event that comes late is erased too.
  shop_domain TEXT NOT NULL,    -- whose it was
  kind        TEXT NOT NULL,    -- customer, order, tracking_code or shop
  key         TEXT NOT NULL,    -- Shopify's number or the carrier's; it names nobody by itself
  at          TEXT NOT NULL,    -- when it was erased
  by_event    INTEGER NOT NULL, -- the event that asked for it
  PRIMARY KEY (shop_domain, kind, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE erasures (
  -- Every erasure that was asked for and done, in numbers only: what destinations are given in place of the erased body.
  event_id    INTEGER PRIMARY KEY, -- the event that asked for it
  at          TEXT NOT NULL,       -- when it was done
  shop_domain TEXT NOT NULL,       -- whose it was
  notice      TEXT NOT NULL,       -- JSON in the shape of Shopify's body: the shop, the customer's number, the orders' numbers
  late        INTEGER NOT NULL DEFAULT 0, -- events that were erased since because they came late
  scrubbed_at TEXT                 -- when the file was written anew without traces; NULL: not yet, see `novex-ingest privacy scrub`
) STRICT;
CREATE INDEX erasures_unscrubbed ON erasures (event_id) WHERE scrubbed_at IS NULL;

CREATE TABLE data_requests (
  -- A customer asks for their data (customers/data_request). `novex-ingest privacy export ID` gathers it for the shop's owner.
  id           INTEGER PRIMARY KEY, -- in the order they came
  event_id     INTEGER NOT NULL UNIQUE, -- the event that asked
  shop_domain  TEXT NOT NULL,       -- whose customer it is
  request_id   INTEGER,             -- Shopify's number of the request
  customer_id  INTEGER,             -- as in customers
  orders       TEXT NOT NULL,       -- JSON: the orders that are asked for
  requested_at TEXT NOT NULL,       -- when it was asked
  due_at       TEXT NOT NULL,       -- to be answered by then
  done_at      TEXT                 -- when a person said that it was; NULL: it is open
) STRICT;

-- Views for people -----------------------------------------------------------------------------------------------

CREATE VIEW queue AS
  -- What is not finished yet, what is being worked first, then the next due: SELECT * FROM queue; what waits to be handed on is
  -- in destination_queue.
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

CREATE VIEW destination_queue AS
  -- What waits to be handed on, and why it waits, by destination in the order it will go.
  SELECT d.destination, d.event_id, e.source, e.topic, d.ordering_key, d.status, d.attempts || ' of ' || d.max_attempts AS attempts,
         CASE WHEN d.status = 'delivering' THEN 'held by ' || d.locked_by || ' until ' || d.lease_until
              WHEN s.paused_at IS NOT NULL THEN 'paused by hand'
              WHEN s.rest_until > strftime('%Y-%m-%dT%H:%M:%fZ', 'now') THEN 'the destination is down until ' || s.rest_until
              WHEN d.next_attempt_at <= strftime('%Y-%m-%dT%H:%M:%fZ', 'now') THEN 'now'
              ELSE d.next_attempt_at END AS due, d.last_error
    FROM destination_deliveries d JOIN webhook_events e ON e.id = d.event_id LEFT JOIN destinations s ON s.name = d.destination
   WHERE d.status IN ('pending', 'delivering') ORDER BY d.destination, d.event_id;

CREATE VIEW destination_failures AS
  -- What could not be handed on, newest first. `novex-ingest events retry ID` tries again.
  SELECT d.event_id, d.destination, e.source, e.topic, d.attempts, d.finished_at AS failed_at, d.last_error AS error
    FROM destination_deliveries d JOIN webhook_events e ON e.id = d.event_id WHERE d.status = 'failed' ORDER BY d.id DESC;

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

-- The audit trail ---------------------------------------------------------------------------------------------------

CREATE TABLE system_log (
  -- What happened in Keycloak: who signed in, who failed to, who changed what. Rows are only added: triggers refuse anything else,
  -- and each row's hash covers the row before, so that what gets past them shows. `novex-ingest audit verify` checks the chain.
  id            INTEGER PRIMARY KEY,  -- 1, 2, 3 … without a gap
  event_id      INTEGER NOT NULL UNIQUE, -- the event that brought it; its number stays when the event is pruned
  at            TEXT NOT NULL,        -- when it happened, by Keycloak's clock
  type          TEXT NOT NULL,        -- LOGIN, LOGIN_ERROR, LOGOUT …; of an admin's doing USER-CREATE, CLIENT-UPDATE …
  realm         TEXT,                 -- the realm's name, or its id where the name is not told
  user_id       TEXT,                 -- who, by Keycloak's id
  username      TEXT,                 -- who, by name
  client_id     TEXT,                 -- with which application
  ip_address    TEXT,                 -- from where
  session_id    TEXT,                 -- in which session
  operation     TEXT,                 -- of an admin's doing: CREATE, UPDATE, DELETE, ACTION
  resource      TEXT,                 -- … on what: USER, CLIENT, REALM_ROLE …
  resource_path TEXT,                 -- … on which one: users/d0c1b2a3-…
  result        TEXT NOT NULL CHECK (result IN ('ok', 'error')), -- whether it came to pass
  error         TEXT,                 -- why not: invalid_user_credentials …
  details       TEXT,                 -- JSON: the event's details; what an admin wrote is in the event's body
  prev_hash     TEXT NOT NULL,        -- the hash of the row before; 64 zeros for the first
  hash          TEXT NOT NULL         -- SHA-256 over prev_hash and the columns above, see src/store/system_log.rs
) STRICT;
CREATE INDEX system_log_login_errors_by_user ON system_log (lower(coalesce(username, user_id)), at) WHERE type = 'LOGIN_ERROR';
CREATE INDEX system_log_login_errors_by_address ON system_log (ip_address, at) WHERE type = 'LOGIN_ERROR';

CREATE TABLE system_log_anchors (
  -- Where old rows of system_log were cut off, and who signed that off. What stays begins with the hash kept here.
  id            INTEGER PRIMARY KEY, -- in the order of the cuts
  at            TEXT NOT NULL,       -- when it was cut
  signed_off_by TEXT NOT NULL,       -- who did it: user@host
  rows          INTEGER NOT NULL,    -- how many rows went
  last_id       INTEGER NOT NULL,    -- the last row that went
  last_hash     TEXT NOT NULL,       -- and its hash
  hash          TEXT NOT NULL        -- SHA-256 over the anchor before and the columns above, see src/store/system_log.rs
) STRICT;

CREATE TRIGGER system_log_is_not_changed BEFORE UPDATE ON system_log BEGIN
  SELECT RAISE(ABORT, 'system_log is an audit trail: rows are never changed');
END;
CREATE TRIGGER system_log_is_not_deleted BEFORE DELETE ON system_log
  WHEN OLD.id > (SELECT coalesce(max(last_id), 0) FROM system_log_anchors) BEGIN
  SELECT RAISE(ABORT, 'system_log is an audit trail: rows go only by novex-ingest audit cut, which leaves an anchor');
END;
CREATE TRIGGER system_log_only_grows BEFORE INSERT ON system_log
  WHEN NEW.id <> 1 + coalesce((SELECT max(id) FROM system_log), (SELECT max(last_id) FROM system_log_anchors), 0) BEGIN
  SELECT RAISE(ABORT, 'system_log is an audit trail: a row goes behind the last one');
END;
CREATE TRIGGER system_log_has_an_event_once BEFORE INSERT ON system_log
  WHEN EXISTS (SELECT 1 FROM system_log WHERE event_id = NEW.event_id) BEGIN
  SELECT RAISE(ABORT, 'system_log is an audit trail: this event is in it already');
END;
CREATE TRIGGER system_log_anchors_fit BEFORE INSERT ON system_log_anchors
  WHEN NEW.last_id <= (SELECT coalesce(max(last_id), 0) FROM system_log_anchors)
    OR NEW.rows IS NOT (SELECT count(*) FROM system_log WHERE id <= NEW.last_id)
    OR NEW.last_hash IS NOT (SELECT hash FROM system_log WHERE id = NEW.last_id) BEGIN
  SELECT RAISE(ABORT, 'system_log_anchors is part of the audit trail: this anchor does not fit it');
END;
CREATE TRIGGER system_log_anchors_are_not_changed BEFORE UPDATE ON system_log_anchors BEGIN
  SELECT RAISE(ABORT, 'system_log_anchors is part of the audit trail: rows are never changed');
END;
CREATE TRIGGER system_log_anchors_are_not_deleted BEFORE DELETE ON system_log_anchors BEGIN
  SELECT RAISE(ABORT, 'system_log_anchors is part of the audit trail: rows are never deleted');
END;

CREATE TABLE alerts (
  -- What a person should look at: one row for one trouble, which grows while the trouble goes on.
  id       INTEGER PRIMARY KEY, -- in the order they were raised
  kind     TEXT NOT NULL,       -- login_errors_of_user, login_errors_from_address
  subject  TEXT NOT NULL,       -- whom or what it is about
  first_at TEXT NOT NULL,       -- when it was too much
  last_at  TEXT NOT NULL,       -- when it happened last
  count    INTEGER NOT NULL,    -- how often so far
  message  TEXT NOT NULL        -- what happened and what to do
) STRICT;
CREATE INDEX alerts_by_subject ON alerts (kind, subject, last_at);

CREATE TABLE event_subjects (
  -- What each worked event is about, to find it by (`novex-ingest events search`) and to erase it by.
  kind        TEXT NOT NULL,    -- order, customer, product, fulfillment, fulfillment_order, return, refund, tracker, tracking_code …
  key         TEXT NOT NULL,    -- its number or code
  shop_domain TEXT NOT NULL,    -- the event's shop; '' where the source knows no shops
  event_id    INTEGER NOT NULL REFERENCES webhook_events (id) ON DELETE CASCADE, -- the event
  PRIMARY KEY (key, kind, shop_domain, event_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX event_subjects_by_event ON event_subjects (event_id);

-- The ERP's tables -----------------------------------------------------------------------------------------------
--
-- What events mean, whatever order they came in: a column holds what the newest event says that states it (`version`). Children
-- that come before their parent are here already, and join it by its number when it comes. A column that is not known is NULL.

CREATE TABLE sales_orders (
  -- A Shopify order. Money is exact decimal text in `currency`, as Shopify wrote it. The newest `updated_at` stays, in
  -- whatever order events come; the customer's data is erased when Shopify asks for it.
  shop_domain          TEXT NOT NULL,    -- whose it is: Shopify's numbers are unique within a shop
  order_id             INTEGER NOT NULL, -- Shopify's number, 64 bit
  name                 TEXT,             -- what people call it: #1001
  currency             TEXT,             -- ISO 4217, of all amounts here
  presentment_currency TEXT,             -- what the customer paid in
  total                TEXT,             -- total_price: as ordered
  current_total        TEXT,             -- current_total_price: after edits, refunds and removals
  subtotal             TEXT,             -- subtotal_price: the lines less discounts, before tax and shipping
  total_tax            TEXT,             -- all taxes together
  total_discounts      TEXT,             -- all discounts together
  total_shipping       TEXT,             -- all shipping lines together
  total_outstanding    TEXT,             -- what is not paid yet
  taxes_included       INTEGER,          -- 1: prices include tax
  financial_status     TEXT,             -- pending, authorized, paid, refunded …
  fulfillment_status   TEXT,             -- NULL: nothing shipped yet; partial, fulfilled …
  po_number            TEXT,             -- the buyer's purchase order number, where one was given
  customer_id          INTEGER,          -- Shopify's number of the customer
  email                TEXT,             -- the customer's address for this order
  phone                TEXT,             -- the customer's phone for this order
  note                 TEXT,             -- what the customer or the merchant noted
  tags                 TEXT,             -- as at Shopify, separated by commas
  source_name          TEXT,             -- web, pos, an app's name …
  location_id          INTEGER,          -- where it was placed or is to be fulfilled, if one was named
  total_weight         INTEGER,          -- grams
  test                 INTEGER,          -- 1: a test order, not to be shipped
  cancel_reason        TEXT,             -- customer, fraud, inventory, declined, other
  created_at           TEXT,             -- when the order was placed
  processed_at         TEXT,             -- when it counts as placed: imports set it back
  updated_at           TEXT,             -- as Shopify has it
  cancelled_at         TEXT,             -- when it was cancelled; NULL: it was not
  closed_at            TEXT,             -- when it was closed; NULL: open
  deleted_at           TEXT,             -- when it was deleted at Shopify; no later update brings it back
  version              TEXT NOT NULL,    -- as of which event: its own time, when it was sent, its bytes; the greater wins
  earlier              TEXT,             -- JSON: columns the newest event did not state, each with the version it is as of
  event_id             INTEGER NOT NULL, -- the newest event that this row is as of
  PRIMARY KEY (shop_domain, order_id)
) STRICT;

CREATE TABLE sales_order_lines (
  -- The lines of a sales order, in the order's own sequence.
  shop_domain          TEXT NOT NULL,    -- with order_id: the order it belongs to
  order_id             INTEGER NOT NULL, -- as in sales_orders
  line_id              INTEGER NOT NULL, -- Shopify's number, 64 bit
  position             INTEGER NOT NULL, -- 1, 2, 3 … as on the order
  sku                  TEXT,             -- the seller's own item number
  product_id           INTEGER,          -- NULL: a custom line without a product
  variant_id           INTEGER,          -- the size, flavour or case of the product
  title                TEXT,             -- the product's name when it was ordered
  variant_title        TEXT,             -- the variant's name when it was ordered
  vendor               TEXT,             -- the product's vendor
  quantity             INTEGER NOT NULL, -- units ordered
  current_quantity     INTEGER,          -- units left after edits, refunds and removals
  fulfillable_quantity INTEGER,          -- units not shipped yet
  fulfillment_status   TEXT,             -- NULL, partial or fulfilled
  price                TEXT,             -- of one unit, exact decimal text in the order's currency
  total_discount       TEXT,             -- taken off this line, in the order's currency
  grams                INTEGER,          -- weight of one unit
  requires_shipping    INTEGER,          -- 0: nothing to ship
  taxable              INTEGER,          -- 0: free of tax
  gift_card            INTEGER,          -- 1: a gift card
  properties           TEXT,             -- JSON: what the customer chose or wrote for this line
  item                 TEXT,             -- the ERP's item by shopify_product_mappings; NULL: not mapped, see unmapped_lines
  item_quantity        TEXT,             -- quantity in the ERP's unit, by the mapping's factor; exact decimal text
  PRIMARY KEY (shop_domain, order_id, line_id)
) STRICT;

CREATE TABLE sales_order_addresses (
  -- Where a sales order is shipped and billed to.
  shop_domain   TEXT NOT NULL,    -- with order_id: the order it belongs to
  order_id      INTEGER NOT NULL, -- as in sales_orders
  kind          TEXT NOT NULL,    -- shipping or billing
  first_name    TEXT,             -- as the customer wrote it
  last_name     TEXT,             -- as the customer wrote it
  company       TEXT,             -- as the customer wrote it
  address1      TEXT,             -- street and number
  address2      TEXT,             -- apartment, floor …
  city          TEXT,             -- town
  province      TEXT,             -- state or region, by name
  province_code TEXT,             -- state or region, by code
  zip           TEXT,             -- postal code
  country       TEXT,             -- by name
  country_code  TEXT,             -- ISO 3166, two letters
  phone         TEXT,             -- as the customer wrote it
  PRIMARY KEY (shop_domain, order_id, kind)
) STRICT;

CREATE TABLE sales_order_taxes (
  -- Every tax on a sales order: on its lines, on its shipping, and their sum.
  shop_domain TEXT NOT NULL,    -- with order_id: the order it belongs to
  order_id    INTEGER NOT NULL, -- as in sales_orders
  position    INTEGER NOT NULL, -- 1, 2, 3 … in its scope
  scope       TEXT NOT NULL,    -- order, line or shipping
  line_id     INTEGER,          -- the line or shipping line it is on; NULL: the order
  title       TEXT,             -- what the tax is called
  rate        TEXT,             -- 0.08 is 8 %; exact decimal text
  price       TEXT,             -- amount in the order's currency
  PRIMARY KEY (shop_domain, order_id, scope, position)
) STRICT;

CREATE TABLE sales_order_discounts (
  -- Every discount on a sales order: codes that were entered, what was applied, and how much of it fell on which line.
  shop_domain TEXT NOT NULL,    -- with order_id: the order it belongs to
  order_id    INTEGER NOT NULL, -- as in sales_orders
  position    INTEGER NOT NULL, -- 1, 2, 3 … in its scope
  scope       TEXT NOT NULL,    -- code, application, line or shipping
  line_id     INTEGER,          -- the line or shipping line it fell on; NULL: the order
  code        TEXT,             -- what the customer entered
  title       TEXT,             -- what the discount is called
  type        TEXT,             -- as Shopify calls it: percentage, fixed_amount, automatic, manual …
  value       TEXT,             -- percent or amount, by value_type
  value_type  TEXT,             -- percentage or fixed_amount
  amount      TEXT,             -- taken off, in the order's currency
  PRIMARY KEY (shop_domain, order_id, scope, position)
) STRICT;

CREATE TABLE sales_order_shipping_lines (
  -- How a sales order is to be shipped, and what that costs.
  shop_domain      TEXT NOT NULL,    -- with order_id: the order it belongs to
  order_id         INTEGER NOT NULL, -- as in sales_orders
  line_id          INTEGER NOT NULL, -- Shopify's number
  position         INTEGER NOT NULL, -- 1, 2, 3 … as on the order
  title            TEXT,             -- what the customer chose
  code             TEXT,             -- the rate's code
  source           TEXT,             -- who made the rate
  carrier          TEXT,             -- carrier_identifier
  price            TEXT,             -- before discounts, in the order's currency
  discounted_price TEXT,             -- after discounts
  PRIMARY KEY (shop_domain, order_id, line_id)
) STRICT;

CREATE TABLE sales_order_edits (
  -- A change to an order after it was placed (orders/edited). The order itself comes with its next update.
  shop_domain  TEXT NOT NULL,    -- whose it is: Shopify's numbers are unique within a shop
  edit_id      INTEGER NOT NULL, -- Shopify's number
  order_id     INTEGER,          -- as in sales_orders
  staff_note   TEXT,             -- why
  user_id      INTEGER,          -- who, by Shopify's number
  app_id       INTEGER,          -- which app
  created_at   TEXT,             -- when it was begun
  committed_at TEXT,             -- when it took effect
  version      TEXT NOT NULL,    -- as of which event: its own time, when it was sent, its bytes; the greater wins
  earlier      TEXT,             -- JSON: columns the newest event did not state, each with the version it is as of
  event_id     INTEGER NOT NULL, -- the newest event that this row is as of
  PRIMARY KEY (shop_domain, edit_id)
) STRICT;

CREATE TABLE sales_order_edit_lines (
  -- What an edit added to or took from the lines of its order.
  shop_domain TEXT NOT NULL,    -- with edit_id: the edit it belongs to
  edit_id     INTEGER NOT NULL, -- as in sales_order_edits
  line_id     INTEGER NOT NULL, -- as in sales_order_lines
  change      TEXT NOT NULL,    -- added or removed
  quantity    INTEGER,          -- how many units
  PRIMARY KEY (shop_domain, edit_id, line_id, change)
) STRICT;

CREATE TABLE order_transactions (
  -- A movement of money on an order: authorization, sale, capture, refund, void.
  shop_domain    TEXT NOT NULL,    -- whose it is: Shopify's numbers are unique within a shop
  transaction_id INTEGER NOT NULL, -- Shopify's number
  order_id       INTEGER,          -- as in sales_orders; the order may come later
  parent_id      INTEGER,          -- the transaction it follows on
  kind           TEXT,             -- authorization, sale, capture, refund, void
  status         TEXT,             -- success, pending, failure, error
  gateway        TEXT,             -- who moves the money
  amount         TEXT,             -- exact decimal text
  currency       TEXT,             -- ISO 4217
  test           INTEGER,          -- 1: no real money
  error_code     TEXT,             -- why it failed
  created_at     TEXT,             -- when it was made
  processed_at   TEXT,             -- when it took effect
  version        TEXT NOT NULL,    -- as of which event: its own time, when it was sent, its bytes; the greater wins
  earlier        TEXT,             -- JSON: columns the newest event did not state, each with the version it is as of
  event_id       INTEGER NOT NULL, -- the newest event that this row is as of
  PRIMARY KEY (shop_domain, transaction_id)
) STRICT;

CREATE TABLE refunds (
  -- Money or goods given back on an order.
  shop_domain  TEXT NOT NULL,    -- whose it is: Shopify's numbers are unique within a shop
  refund_id    INTEGER NOT NULL, -- Shopify's number
  order_id     INTEGER,          -- as in sales_orders; the order may come later
  note         TEXT,             -- why
  restock      INTEGER,          -- 1: goods go back into stock
  user_id      INTEGER,          -- who, by Shopify's number
  return_id    INTEGER,          -- the return it belongs to
  created_at   TEXT,             -- when it was made
  processed_at TEXT,             -- when it took effect
  version      TEXT NOT NULL,    -- as of which event: its own time, when it was sent, its bytes; the greater wins
  earlier      TEXT,             -- JSON: columns the newest event did not state, each with the version it is as of
  event_id     INTEGER NOT NULL, -- the newest event that this row is as of
  PRIMARY KEY (shop_domain, refund_id)
) STRICT;

CREATE TABLE refund_lines (
  -- Which lines a refund gives back, and how many units.
  shop_domain    TEXT NOT NULL,    -- with refund_id: the refund it belongs to
  refund_id      INTEGER NOT NULL, -- as in refunds
  refund_line_id INTEGER NOT NULL, -- Shopify's number
  line_id        INTEGER,          -- as in sales_order_lines
  quantity       INTEGER,          -- units given back
  restock_type   TEXT,             -- no_restock, cancel, return, legacy_restock
  location_id    INTEGER,          -- where the goods go
  subtotal       TEXT,             -- exact decimal text in the order's currency
  total_tax      TEXT,             -- the tax on it
  PRIMARY KEY (shop_domain, refund_id, refund_line_id)
) STRICT;

CREATE TABLE fulfillments (
  -- A package or delivery that left for the customer, as Shopify knows it.
  shop_domain      TEXT NOT NULL,    -- whose it is: Shopify's numbers are unique within a shop
  fulfillment_id   INTEGER NOT NULL, -- Shopify's number
  order_id         INTEGER,          -- as in sales_orders; the order may come later
  name             TEXT,             -- #1001.1
  status           TEXT,             -- pending, open, success, cancelled, error, failure
  shipment_status  TEXT,             -- confirmed, in_transit, delivered …
  service          TEXT,             -- who fulfils: manual or a service's name
  location_id      INTEGER,          -- where it left from
  tracking_company TEXT,             -- the carrier
  created_at       TEXT,             -- when it was made
  updated_at       TEXT,             -- as Shopify has it
  version          TEXT NOT NULL,    -- as of which event: its own time, when it was sent, its bytes; the greater wins
  earlier          TEXT,             -- JSON: columns the newest event did not state, each with the version it is as of
  event_id         INTEGER NOT NULL, -- the newest event that this row is as of
  PRIMARY KEY (shop_domain, fulfillment_id)
) STRICT;

CREATE TABLE fulfillment_lines (
  -- Which lines a fulfillment carries.
  shop_domain    TEXT NOT NULL,    -- with fulfillment_id: the fulfillment it belongs to
  fulfillment_id INTEGER NOT NULL, -- as in fulfillments
  line_id        INTEGER NOT NULL, -- as in sales_order_lines
  sku            TEXT,             -- as on the order
  quantity       INTEGER,          -- units in it
  PRIMARY KEY (shop_domain, fulfillment_id, line_id)
) STRICT;

CREATE TABLE fulfillment_tracking_numbers (
  -- The carrier's numbers of a fulfillment. Shipments find their order by these.
  shop_domain    TEXT NOT NULL,    -- with fulfillment_id: the fulfillment it belongs to
  fulfillment_id INTEGER NOT NULL, -- as in fulfillments
  position       INTEGER NOT NULL, -- 1, 2, 3 … a box each
  number         TEXT NOT NULL,    -- the carrier's tracking code
  url            TEXT,             -- where the customer can follow it
  PRIMARY KEY (shop_domain, fulfillment_id, position)
) STRICT;

CREATE TABLE fulfillment_events (
  -- A step of a fulfillment on its way, as a carrier or app told Shopify.
  shop_domain           TEXT NOT NULL,    -- whose it is: Shopify's numbers are unique within a shop
  fulfillment_event_id  INTEGER NOT NULL, -- Shopify's number
  fulfillment_id        INTEGER,          -- as in fulfillments
  order_id              INTEGER,          -- as in sales_orders
  status                TEXT,             -- label_printed, in_transit, out_for_delivery, delivered, failure …
  message               TEXT,             -- in words
  happened_at           TEXT,             -- when it happened
  estimated_delivery_at TEXT,             -- when it should arrive
  city                  TEXT,             -- where
  province              TEXT,             -- where
  zip                   TEXT,             -- where
  country               TEXT,             -- where
  created_at            TEXT,             -- when it was told
  updated_at            TEXT,             -- as Shopify has it
  deleted_at            TEXT,             -- when it was taken back
  version               TEXT NOT NULL,    -- as of which event: its own time, when it was sent, its bytes; the greater wins
  earlier               TEXT,             -- JSON: columns the newest event did not state, each with the version it is as of
  event_id              INTEGER NOT NULL, -- the newest event that this row is as of
  PRIMARY KEY (shop_domain, fulfillment_event_id)
) STRICT;

CREATE TABLE fulfillment_orders (
  -- The work of fulfilling an order from one location: what waits, is on hold, was moved or cancelled. Its events state only
  -- what they change and carry no time of their own: when Shopify sent them decides.
  shop_domain          TEXT NOT NULL,    -- whose it is: Shopify's numbers are unique within a shop
  fulfillment_order_id INTEGER NOT NULL, -- Shopify's number
  order_id             INTEGER,          -- as in sales_orders, where an event named it
  status               TEXT,             -- open, in_progress, on_hold, scheduled, cancelled, incomplete, closed
  request_status       TEXT,             -- unsubmitted, submitted, accepted, rejected, cancellation_requested …
  location_id          INTEGER,          -- where it is to be fulfilled
  fulfill_at           TEXT,             -- not before this
  fulfill_by           TEXT,             -- not after this
  delivery_method      TEXT,             -- shipping, pickup, local …
  message              TEXT,             -- what the merchant or the service said last
  replaced_by          INTEGER,          -- the fulfillment order that took its place
  split_from           INTEGER,          -- the fulfillment order it was split from or moved from
  last_topic           TEXT,             -- the event that the row is as of
  changed_at           TEXT,             -- when that event was sent
  version              TEXT NOT NULL,    -- as of which event: its own time, when it was sent, its bytes; the greater wins
  earlier              TEXT,             -- JSON: columns the newest event did not state, each with the version it is as of
  event_id             INTEGER NOT NULL, -- the newest event that this row is as of
  PRIMARY KEY (shop_domain, fulfillment_order_id)
) STRICT;

CREATE TABLE fulfillment_holds (
  -- Why a fulfillment order must wait.
  shop_domain          TEXT NOT NULL,    -- whose it is: Shopify's numbers are unique within a shop
  hold_id              INTEGER NOT NULL, -- Shopify's number
  fulfillment_order_id INTEGER,          -- as in fulfillment_orders
  reason               TEXT,             -- awaiting_payment, inventory_out_of_stock, incorrect_address, other …
  reason_notes         TEXT,             -- in words
  handle               TEXT,             -- the app's own name for it
  held_at              TEXT,             -- when it was told
  released_at          TEXT,             -- when fulfillment_holds/released told that it ended
  version              TEXT NOT NULL,    -- as of which event: its own time, when it was sent, its bytes; the greater wins
  earlier              TEXT,             -- JSON: columns the newest event did not state, each with the version it is as of
  event_id             INTEGER NOT NULL, -- the newest event that this row is as of
  PRIMARY KEY (shop_domain, hold_id)
) STRICT;

CREATE TABLE returns (
  -- Goods that a customer wants to send back. Its events carry no time of their own: when Shopify sent them decides.
  shop_domain        TEXT NOT NULL,    -- whose it is: Shopify's numbers are unique within a shop
  return_id          INTEGER NOT NULL, -- Shopify's number
  order_id           INTEGER,          -- as in sales_orders; the order may come later
  name               TEXT,             -- #1001-R1
  status             TEXT,             -- requested, open, closed, declined, canceled
  total_return_lines INTEGER,          -- units to come back
  decline_reason     TEXT,             -- why it was declined
  decline_note       TEXT,             -- in words
  last_topic         TEXT,             -- the event that the row is as of
  changed_at         TEXT,             -- when that event was sent
  version            TEXT NOT NULL,    -- as of which event: its own time, when it was sent, its bytes; the greater wins
  earlier            TEXT,             -- JSON: columns the newest event did not state, each with the version it is as of
  event_id           INTEGER NOT NULL, -- the newest event that this row is as of
  PRIMARY KEY (shop_domain, return_id)
) STRICT;

CREATE TABLE return_lines (
  -- Which goods a return brings back.
  shop_domain    TEXT NOT NULL,    -- with return_id: the return it belongs to
  return_id      INTEGER NOT NULL, -- as in returns
  return_line_id INTEGER NOT NULL, -- Shopify's number
  line_id        INTEGER,          -- as in sales_order_lines, where it was named
  quantity       INTEGER,          -- units
  reason         TEXT,             -- size_too_small, unwanted, defective …
  note           TEXT,             -- in words
  PRIMARY KEY (shop_domain, return_id, return_line_id)
) STRICT;

CREATE TABLE customers (
  -- A Shopify customer. Erased when Shopify asks for it.
  shop_domain        TEXT NOT NULL,    -- whose it is: Shopify's numbers are unique within a shop
  customer_id        INTEGER NOT NULL, -- Shopify's number
  email              TEXT,             -- address
  phone              TEXT,             -- number
  first_name         TEXT,             -- name
  last_name          TEXT,             -- name
  state              TEXT,             -- disabled, invited, enabled, declined
  note               TEXT,             -- what the merchant noted
  tags               TEXT,             -- as at Shopify, separated by commas
  currency           TEXT,             -- ISO 4217
  tax_exempt         INTEGER,          -- 1: pays no tax
  verified_email     INTEGER,          -- 1: the address was confirmed
  default_address_id INTEGER,          -- as in customer_addresses
  merged_into        INTEGER,          -- the customer that took this one's place
  created_at         TEXT,             -- when it was made
  updated_at         TEXT,             -- as Shopify has it
  deleted_at         TEXT,             -- when it was deleted at Shopify; no later update brings it back
  version            TEXT NOT NULL,    -- as of which event: its own time, when it was sent, its bytes; the greater wins
  earlier            TEXT,             -- JSON: columns the newest event did not state, each with the version it is as of
  event_id           INTEGER NOT NULL, -- the newest event that this row is as of
  PRIMARY KEY (shop_domain, customer_id)
) STRICT;

CREATE TABLE customer_addresses (
  -- The addresses a customer has entered.
  shop_domain   TEXT NOT NULL,    -- with customer_id: whose address it is
  customer_id   INTEGER NOT NULL, -- as in customers
  address_id    INTEGER NOT NULL, -- Shopify's number
  position      INTEGER NOT NULL, -- 1, 2, 3 … as listed
  first_name    TEXT,             -- name
  last_name     TEXT,             -- name
  company       TEXT,             -- company
  address1      TEXT,             -- street and number
  address2      TEXT,             -- apartment, floor …
  city          TEXT,             -- town
  province      TEXT,             -- state or region, by name
  province_code TEXT,             -- state or region, by code
  zip           TEXT,             -- postal code
  country       TEXT,             -- by name
  country_code  TEXT,             -- ISO 3166, two letters
  phone         TEXT,             -- number
  is_default    INTEGER,          -- 1: the one used first
  PRIMARY KEY (shop_domain, customer_id, address_id)
) STRICT;

CREATE TABLE products (
  -- A product at Shopify.
  shop_domain  TEXT NOT NULL,    -- whose it is: Shopify's numbers are unique within a shop
  product_id   INTEGER NOT NULL, -- Shopify's number
  title        TEXT,             -- name
  handle       TEXT,             -- its name in addresses
  vendor       TEXT,             -- who makes it
  product_type TEXT,             -- as the merchant sorts it
  status       TEXT,             -- active, draft, archived
  tags         TEXT,             -- separated by commas
  published_at TEXT,             -- on sale since; NULL: not on sale
  created_at   TEXT,             -- when it was made
  updated_at   TEXT,             -- as Shopify has it
  deleted_at   TEXT,             -- when it was deleted at Shopify; no later update brings it back
  version      TEXT NOT NULL,    -- as of which event: its own time, when it was sent, its bytes; the greater wins
  earlier      TEXT,             -- JSON: columns the newest event did not state, each with the version it is as of
  event_id     INTEGER NOT NULL, -- the newest event that this row is as of
  PRIMARY KEY (shop_domain, product_id)
) STRICT;

CREATE TABLE product_variants (
  -- What can be ordered of a product: a size, a flavour, a case.
  shop_domain       TEXT NOT NULL,    -- with product_id: the product it belongs to
  product_id        INTEGER NOT NULL, -- as in products
  variant_id        INTEGER NOT NULL, -- Shopify's number
  position          INTEGER NOT NULL, -- 1, 2, 3 … as listed
  title             TEXT,             -- name
  sku               TEXT,             -- the seller's own item number
  barcode           TEXT,             -- GTIN, UPC, EAN …
  price             TEXT,             -- in the shop's currency
  compare_at_price  TEXT,             -- the price before a reduction
  option1           TEXT,             -- size, flavour …
  option2           TEXT,             -- size, flavour …
  option3           TEXT,             -- size, flavour …
  taxable           INTEGER,          -- 0: free of tax
  inventory_item_id INTEGER,          -- as in inventory_items
  inventory_policy  TEXT,             -- deny or continue: sold when out of stock?
  updated_at        TEXT,             -- as Shopify has it
  PRIMARY KEY (shop_domain, product_id, variant_id)
) STRICT;

CREATE TABLE inventory_items (
  -- What is stocked: the goods behind a variant.
  shop_domain            TEXT NOT NULL,    -- whose it is: Shopify's numbers are unique within a shop
  inventory_item_id      INTEGER NOT NULL, -- Shopify's number
  sku                    TEXT,             -- the seller's own item number
  cost                   TEXT,             -- of one unit, in the shop's currency
  tracked                INTEGER,          -- 1: its quantity is kept
  requires_shipping      INTEGER,          -- 0: nothing to ship
  country_of_origin      TEXT,             -- ISO 3166, two letters
  province_of_origin     TEXT,             -- code
  harmonized_system_code TEXT,             -- for customs
  weight                 TEXT,             -- exact decimal text
  weight_unit            TEXT,             -- g, kg, oz, lb
  created_at             TEXT,             -- when it was made
  updated_at             TEXT,             -- as Shopify has it
  deleted_at             TEXT,             -- when it was deleted at Shopify; no later update brings it back
  version                TEXT NOT NULL,    -- as of which event: its own time, when it was sent, its bytes; the greater wins
  earlier                TEXT,             -- JSON: columns the newest event did not state, each with the version it is as of
  event_id               INTEGER NOT NULL, -- the newest event that this row is as of
  PRIMARY KEY (shop_domain, inventory_item_id)
) STRICT;

CREATE TABLE inventory_levels (
  -- How much of an inventory item a location has.
  shop_domain       TEXT NOT NULL,    -- whose it is: Shopify's numbers are unique within a shop
  inventory_item_id INTEGER NOT NULL, -- as in inventory_items
  location_id       INTEGER NOT NULL, -- as in locations
  available         INTEGER,          -- units; NULL: not kept
  connected         INTEGER,          -- 0: the location stocks it no more
  updated_at        TEXT,             -- as Shopify has it
  version           TEXT NOT NULL,    -- as of which event: its own time, when it was sent, its bytes; the greater wins
  earlier           TEXT,             -- JSON: columns the newest event did not state, each with the version it is as of
  event_id          INTEGER NOT NULL, -- the newest event that this row is as of
  PRIMARY KEY (shop_domain, inventory_item_id, location_id)
) STRICT;

CREATE TABLE locations (
  -- A place that stocks or ships.
  shop_domain   TEXT NOT NULL,    -- whose it is: Shopify's numbers are unique within a shop
  location_id   INTEGER NOT NULL, -- Shopify's number
  name          TEXT,             -- name
  active        INTEGER,          -- 0: out of use
  address1      TEXT,             -- street and number
  address2      TEXT,             -- more of it
  city          TEXT,             -- town
  province_code TEXT,             -- state or region
  zip           TEXT,             -- postal code
  country_code  TEXT,             -- ISO 3166, two letters
  phone         TEXT,             -- number
  created_at    TEXT,             -- when it was made
  updated_at    TEXT,             -- as Shopify has it
  deleted_at    TEXT,             -- when it was deleted at Shopify
  version       TEXT NOT NULL,    -- as of which event: its own time, when it was sent, its bytes; the greater wins
  earlier       TEXT,             -- JSON: columns the newest event did not state, each with the version it is as of
  event_id      INTEGER NOT NULL, -- the newest event that this row is as of
  PRIMARY KEY (shop_domain, location_id)
) STRICT;

CREATE TABLE shops (
  -- A Shopify shop.
  shop_domain         TEXT NOT NULL,    -- x.myshopify.com
  shop_id             INTEGER,          -- Shopify's number
  name                TEXT,             -- name
  email               TEXT,             -- the shop's own address
  currency            TEXT,             -- ISO 4217
  timezone            TEXT,             -- IANA name
  plan_name           TEXT,             -- Shopify plan
  country_code        TEXT,             -- ISO 3166, two letters
  primary_location_id INTEGER,          -- as in locations
  updated_at          TEXT,             -- as Shopify has it
  uninstalled_at      TEXT,             -- when the app was taken out of the shop; its events stop then
  version             TEXT NOT NULL,    -- as of which event: its own time, when it was sent, its bytes; the greater wins
  earlier             TEXT,             -- JSON: columns the newest event did not state, each with the version it is as of
  event_id            INTEGER NOT NULL, -- the newest event that this row is as of
  PRIMARY KEY (shop_domain)
) STRICT;

CREATE TABLE shipments (
  -- A package that a carrier moves, as EasyPost's tracker tells it. The tracker's own time decides what is newer.
  mode              TEXT NOT NULL,    -- production or test: nothing of the one is ever mixed with the other
  tracker_id        TEXT NOT NULL,    -- EasyPost's id, trk_…: carriers use tracking codes again
  tracking_code     TEXT,             -- the carrier's number
  carrier           TEXT,             -- USPS, UPS, FedEx …
  status            TEXT,             -- pre_transit, in_transit, out_for_delivery, delivered, return_to_sender, failure …
  status_detail     TEXT,             -- more exactly
  shipment_id       TEXT,             -- EasyPost's shipment, shp_…, when the label was bought there
  est_delivery_date TEXT,             -- when it should arrive
  signed_by         TEXT,             -- who took it
  weight_oz         TEXT,             -- ounces, exact decimal text
  service           TEXT,             -- the carrier's service
  is_return         INTEGER,          -- 1: on its way back
  finalized         INTEGER,          -- 1: nothing more will come
  public_url        TEXT,             -- where anybody can follow it
  created_at        TEXT,             -- when the tracker was made
  updated_at        TEXT,             -- as EasyPost has it
  shop_domain       TEXT,             -- the sales order it carries, found by triggers; NULL: not known (yet)
  order_id          INTEGER,          -- as in sales_orders
  linked_by         TEXT,             -- tracking_code or reference: how the order was found
  version           TEXT NOT NULL,    -- as of which event: its own time, when it was sent, its bytes; the greater wins
  earlier           TEXT,             -- JSON: columns the newest event did not state, each with the version it is as of
  event_id          INTEGER NOT NULL, -- the newest event that this row is as of
  PRIMARY KEY (mode, tracker_id)
) STRICT;

CREATE TABLE tracking_events (
  -- Every scan of a package. A later event may leave out earlier scans: they stay.
  mode          TEXT NOT NULL,    -- production or test: nothing of the one is ever mixed with the other
  tracker_id    TEXT NOT NULL,    -- as in shipments
  at            TEXT NOT NULL,    -- when it happened, UTC if the place is not known
  status        TEXT NOT NULL,    -- as in shipments
  status_detail TEXT NOT NULL,    -- more exactly; '' if not told
  message       TEXT NOT NULL,    -- the carrier's words
  city          TEXT NOT NULL,    -- where; '' if not told
  state         TEXT NOT NULL,    -- where; '' if not told
  zip           TEXT NOT NULL,    -- where; '' if not told
  country       TEXT NOT NULL,    -- where; '' if not told
  source        TEXT NOT NULL,    -- who told it; '' if not told
  event_id      INTEGER NOT NULL, -- the event that brought it first
  PRIMARY KEY (mode, tracker_id, at, status, status_detail, message, city, state, zip, country, source)
) STRICT;

CREATE TABLE easypost_objects (
  -- Everything of EasyPost that is no tracker: shipments, batches, scan forms, refunds, reports, insurances, payments, claims.
  mode          TEXT NOT NULL,    -- production or test: nothing of the one is ever mixed with the other
  id            TEXT NOT NULL,    -- EasyPost's id: shp_…, batch_…, sf_…, rfnd_…, ins_… …
  object        TEXT,             -- Shipment, Batch, ScanForm, Refund …
  status        TEXT,             -- status or state, in its own words
  reference     TEXT,             -- what the ERP called it when it was made
  tracking_code TEXT,             -- the carrier's number
  carrier       TEXT,             -- USPS, UPS, FedEx …
  shipment_id   TEXT,             -- the shipment it is about
  batch_id      TEXT,             -- the batch it is part of
  batch_status  TEXT,             -- how the batch got on with it
  batch_message TEXT,             -- what went wrong with it in the batch
  message       TEXT,             -- what EasyPost said
  amount        TEXT,             -- exact decimal text
  currency      TEXT,             -- ISO 4217
  url           TEXT,             -- the form, label or report
  size          INTEGER,          -- how many shipments it holds
  last_topic    TEXT,             -- the event that the row is as of
  created_at    TEXT,             -- when it was made
  updated_at    TEXT,             -- as EasyPost has it
  version       TEXT NOT NULL,    -- as of which event: its own time, when it was sent, its bytes; the greater wins
  earlier       TEXT,             -- JSON: columns the newest event did not state, each with the version it is as of
  event_id      INTEGER NOT NULL, -- the newest event that this row is as of
  PRIMARY KEY (mode, id)
) STRICT;

-- What finds what: children by their parents, lines by their goods, shipments by their order.
CREATE INDEX sales_orders_by_name ON sales_orders (name);
CREATE INDEX sales_orders_by_customer ON sales_orders (shop_domain, customer_id);
CREATE INDEX sales_orders_by_email ON sales_orders (email COLLATE NOCASE);
CREATE INDEX customers_by_email ON customers (email COLLATE NOCASE);
CREATE INDEX customers_by_name ON customers (last_name COLLATE NOCASE);
CREATE INDEX product_variants_by_sku ON product_variants (sku);
CREATE INDEX sales_order_lines_by_variant ON sales_order_lines (shop_domain, variant_id);
CREATE INDEX sales_order_lines_by_sku ON sales_order_lines (sku, shop_domain);
CREATE INDEX sales_order_lines_unmapped ON sales_order_lines (shop_domain, order_id) WHERE item IS NULL;
CREATE INDEX order_transactions_by_order ON order_transactions (shop_domain, order_id);
CREATE INDEX refunds_by_order ON refunds (shop_domain, order_id);
CREATE INDEX fulfillments_by_order ON fulfillments (shop_domain, order_id);
CREATE INDEX fulfillment_tracking_by_number ON fulfillment_tracking_numbers (number);
CREATE INDEX fulfillment_holds_by_fulfillment_order ON fulfillment_holds (shop_domain, fulfillment_order_id);
CREATE INDEX shipments_by_tracking_code ON shipments (tracking_code);
CREATE INDEX shipments_by_shipment ON shipments (shipment_id);
CREATE INDEX shipments_by_order ON shipments (shop_domain, order_id);
CREATE INDEX easypost_objects_by_tracking_code ON easypost_objects (tracking_code);
CREATE INDEX easypost_objects_by_reference ON easypost_objects (reference);

-- Mappings: the ERP's item of what Shopify sells ------------------------------------------------------------------

CREATE TABLE shopify_product_mappings (
  -- What a Shopify variant, or everything with an SKU, is in the ERP. `novex-ingest mappings` keeps it; rows may be changed by
  -- hand too. Orders that came before a mapping are completed by it: the triggers below.
  id          INTEGER PRIMARY KEY,       -- no meaning
  shop_domain TEXT NOT NULL,             -- which shop
  variant_id  INTEGER,                   -- Shopify's number of the variant; it goes before an SKU
  sku         TEXT,                      -- or the SKU on the line; exactly one of the two is set
  item        TEXT NOT NULL CHECK (item <> ''), -- the ERP's item number
  factor      TEXT NOT NULL DEFAULT '1'  -- ERP units in one unit at Shopify: '12' for a case that the ERP counts in pieces; at
                                         -- most 6 digits before the point and 6 behind it
              CHECK (factor NOT GLOB '*[^0-9.]*' AND factor GLOB '[0-9]*' AND factor NOT GLOB '*.*.*' AND factor NOT GLOB '*.'
                     AND factor NOT GLOB '*.???????*' AND length(CAST(factor AS INTEGER)) <= 6 AND CAST(factor AS REAL) > 0),
  note        TEXT,                      -- for people
  created_at  TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')), -- when it was added
  CHECK ((variant_id IS NULL) <> (sku IS NULL))
) STRICT;
CREATE UNIQUE INDEX shopify_product_mappings_by_variant ON shopify_product_mappings (shop_domain, variant_id) WHERE variant_id IS NOT NULL;
CREATE UNIQUE INDEX shopify_product_mappings_by_sku ON shopify_product_mappings (shop_domain, sku) WHERE sku IS NOT NULL;

CREATE VIEW sales_order_line_mappings AS
  -- Which mapping fits each line, the variant's before the SKU's, and the quantity in the ERP's unit: whole numbers are multiplied
  -- and the point is set afterwards, so that it is exact.
  SELECT shop_domain, order_id, line_id, item,
         CASE WHEN decimals = 0 THEN CAST(product AS TEXT)
              ELSE rtrim(rtrim(CASE WHEN product < 0 THEN '-' ELSE '' END || (abs(product) / CAST('1' || substr('000000', 1, decimals) AS INTEGER)) || '.'
                   || substr('000000' || (abs(product) % CAST('1' || substr('000000', 1, decimals) AS INTEGER)), -decimals), '0'), '.') END AS item_quantity
    FROM (SELECT l.shop_domain, l.order_id, l.line_id, coalesce(v.item, s.item) AS item,
                 l.quantity * CAST(replace(coalesce(v.factor, s.factor), '.', '') AS INTEGER) AS product,
                 CASE WHEN instr(coalesce(v.factor, s.factor), '.') = 0 THEN 0
                      ELSE length(coalesce(v.factor, s.factor)) - instr(coalesce(v.factor, s.factor), '.') END AS decimals
            FROM sales_order_lines l
            LEFT JOIN shopify_product_mappings v ON v.shop_domain = l.shop_domain AND v.variant_id = l.variant_id
            LEFT JOIN shopify_product_mappings s ON s.shop_domain = l.shop_domain AND s.sku = l.sku);

-- A line gets its item when its order is written (store::mappings::map_order), and by these when a mapping changes.
CREATE TRIGGER shopify_product_mappings_added AFTER INSERT ON shopify_product_mappings BEGIN
  UPDATE sales_order_lines SET (item, item_quantity) = (
      SELECT m.item, m.item_quantity FROM sales_order_line_mappings m WHERE m.shop_domain = sales_order_lines.shop_domain
         AND m.order_id = sales_order_lines.order_id AND m.line_id = sales_order_lines.line_id)
   WHERE shop_domain = NEW.shop_domain AND variant_id = NEW.variant_id;
  UPDATE sales_order_lines SET (item, item_quantity) = (
      SELECT m.item, m.item_quantity FROM sales_order_line_mappings m WHERE m.shop_domain = sales_order_lines.shop_domain
         AND m.order_id = sales_order_lines.order_id AND m.line_id = sales_order_lines.line_id)
   WHERE shop_domain = NEW.shop_domain AND sku = NEW.sku;
END;
CREATE TRIGGER shopify_product_mappings_removed AFTER DELETE ON shopify_product_mappings BEGIN
  UPDATE sales_order_lines SET (item, item_quantity) = (
      SELECT m.item, m.item_quantity FROM sales_order_line_mappings m WHERE m.shop_domain = sales_order_lines.shop_domain
         AND m.order_id = sales_order_lines.order_id AND m.line_id = sales_order_lines.line_id)
   WHERE shop_domain = OLD.shop_domain AND variant_id = OLD.variant_id;
  UPDATE sales_order_lines SET (item, item_quantity) = (
      SELECT m.item, m.item_quantity FROM sales_order_line_mappings m WHERE m.shop_domain = sales_order_lines.shop_domain
         AND m.order_id = sales_order_lines.order_id AND m.line_id = sales_order_lines.line_id)
   WHERE shop_domain = OLD.shop_domain AND sku = OLD.sku;
END;
CREATE TRIGGER shopify_product_mappings_changed AFTER UPDATE OF shop_domain, variant_id, sku, item, factor ON shopify_product_mappings BEGIN
  UPDATE sales_order_lines SET (item, item_quantity) = (
      SELECT m.item, m.item_quantity FROM sales_order_line_mappings m WHERE m.shop_domain = sales_order_lines.shop_domain
         AND m.order_id = sales_order_lines.order_id AND m.line_id = sales_order_lines.line_id)
   WHERE shop_domain = OLD.shop_domain AND variant_id = OLD.variant_id;
  UPDATE sales_order_lines SET (item, item_quantity) = (
      SELECT m.item, m.item_quantity FROM sales_order_line_mappings m WHERE m.shop_domain = sales_order_lines.shop_domain
         AND m.order_id = sales_order_lines.order_id AND m.line_id = sales_order_lines.line_id)
   WHERE shop_domain = OLD.shop_domain AND sku = OLD.sku;
  UPDATE sales_order_lines SET (item, item_quantity) = (
      SELECT m.item, m.item_quantity FROM sales_order_line_mappings m WHERE m.shop_domain = sales_order_lines.shop_domain
         AND m.order_id = sales_order_lines.order_id AND m.line_id = sales_order_lines.line_id)
   WHERE shop_domain = NEW.shop_domain AND variant_id = NEW.variant_id;
  UPDATE sales_order_lines SET (item, item_quantity) = (
      SELECT m.item, m.item_quantity FROM sales_order_line_mappings m WHERE m.shop_domain = sales_order_lines.shop_domain
         AND m.order_id = sales_order_lines.order_id AND m.line_id = sales_order_lines.line_id)
   WHERE shop_domain = NEW.shop_domain AND sku = NEW.sku;
END;

CREATE VIEW unmapped_lines AS
  -- What was sold and has no item in the ERP: `novex-ingest mappings add` completes these orders. A line with neither variant nor
  -- SKU, as of a custom item, cannot be mapped and is not here.
  SELECT l.shop_domain, l.sku, l.variant_id, min(title) AS title, min(variant_title) AS variant_title,
         count(*) AS lines, count(DISTINCT l.order_id) AS orders, min(o.name) AS first_order
    FROM sales_order_lines l INDEXED BY sales_order_lines_unmapped
    LEFT JOIN sales_orders o ON o.shop_domain = l.shop_domain AND o.order_id = l.order_id
   WHERE l.item IS NULL AND (l.sku IS NOT NULL OR l.variant_id IS NOT NULL) AND o.deleted_at IS NULL
   GROUP BY l.shop_domain, l.sku, l.variant_id;

-- Which order a shipment carries -----------------------------------------------------------------------------------

CREATE VIEW shipment_orders AS
  -- The order of each production shipment: by a fulfillment's tracking number, else by the order's name that EasyPost was given as
  -- reference. Carriers use codes again, and two shops may have a #1001: a shipment belongs to nothing that is younger than its
  -- label, to the newest of what is left by code, and by reference only if just one order fits.
  SELECT s.mode, s.tracker_id,
         (SELECT json_array(f.shop_domain, f.order_id, 'tracking_code')
            FROM fulfillment_tracking_numbers n JOIN fulfillments f USING (shop_domain, fulfillment_id)
           WHERE n.number = s.tracking_code AND f.order_id IS NOT NULL
             AND coalesce(julianday(f.created_at) <= julianday(s.created_at) + 7, 1)
           ORDER BY f.created_at DESC, f.order_id DESC, f.shop_domain LIMIT 1) AS by_code,
         (SELECT min(json_array(shop_domain, order_id, 'reference'))
            FROM (SELECT DISTINCT o.shop_domain, o.order_id FROM easypost_objects e
                    JOIN sales_orders o ON o.name IN (e.reference, '#' || e.reference)
                   WHERE e.mode = s.mode AND (e.tracking_code = s.tracking_code OR e.id = s.shipment_id)
                     AND coalesce(julianday(o.created_at) <= julianday(s.created_at) + 1, 1))
          HAVING count(*) = 1) AS by_reference
    FROM shipments s WHERE s.mode = 'production';

CREATE TRIGGER shipments_linked AFTER INSERT ON shipments BEGIN
  UPDATE shipments SET (shop_domain, order_id, linked_by) = (
      SELECT coalesce(by_code, by_reference) ->> 0, coalesce(by_code, by_reference) ->> 1, coalesce(by_code, by_reference) ->> 2
        FROM shipment_orders o WHERE o.mode = shipments.mode AND o.tracker_id = shipments.tracker_id)
   WHERE mode = NEW.mode AND tracker_id = NEW.tracker_id;
END;
CREATE TRIGGER shipments_relinked AFTER UPDATE OF tracking_code, shipment_id, created_at ON shipments BEGIN
  UPDATE shipments SET (shop_domain, order_id, linked_by) = (
      SELECT coalesce(by_code, by_reference) ->> 0, coalesce(by_code, by_reference) ->> 1, coalesce(by_code, by_reference) ->> 2
        FROM shipment_orders o WHERE o.mode = shipments.mode AND o.tracker_id = shipments.tracker_id)
   WHERE mode = NEW.mode AND tracker_id = NEW.tracker_id;
END;
CREATE TRIGGER fulfillment_tracking_numbers_linked AFTER INSERT ON fulfillment_tracking_numbers BEGIN
  UPDATE shipments SET (shop_domain, order_id, linked_by) = (
      SELECT coalesce(by_code, by_reference) ->> 0, coalesce(by_code, by_reference) ->> 1, coalesce(by_code, by_reference) ->> 2
        FROM shipment_orders o WHERE o.mode = shipments.mode AND o.tracker_id = shipments.tracker_id)
   WHERE tracking_code = NEW.number;
END;
CREATE TRIGGER fulfillment_tracking_numbers_unlinked AFTER DELETE ON fulfillment_tracking_numbers BEGIN
  UPDATE shipments SET (shop_domain, order_id, linked_by) = (
      SELECT coalesce(by_code, by_reference) ->> 0, coalesce(by_code, by_reference) ->> 1, coalesce(by_code, by_reference) ->> 2
        FROM shipment_orders o WHERE o.mode = shipments.mode AND o.tracker_id = shipments.tracker_id)
   WHERE tracking_code = OLD.number;
END;
CREATE TRIGGER fulfillments_linked AFTER UPDATE OF order_id, created_at ON fulfillments
  WHEN OLD.order_id IS NOT NEW.order_id OR OLD.created_at IS NOT NEW.created_at BEGIN
  UPDATE shipments SET (shop_domain, order_id, linked_by) = (
      SELECT coalesce(by_code, by_reference) ->> 0, coalesce(by_code, by_reference) ->> 1, coalesce(by_code, by_reference) ->> 2
        FROM shipment_orders o WHERE o.mode = shipments.mode AND o.tracker_id = shipments.tracker_id)
   WHERE tracking_code IN (SELECT number FROM fulfillment_tracking_numbers n
      WHERE n.shop_domain = NEW.shop_domain AND n.fulfillment_id = NEW.fulfillment_id);
END;
CREATE TRIGGER easypost_objects_linked AFTER INSERT ON easypost_objects WHEN NEW.reference IS NOT NULL BEGIN
  UPDATE shipments SET (shop_domain, order_id, linked_by) = (
      SELECT coalesce(by_code, by_reference) ->> 0, coalesce(by_code, by_reference) ->> 1, coalesce(by_code, by_reference) ->> 2
        FROM shipment_orders o WHERE o.mode = shipments.mode AND o.tracker_id = shipments.tracker_id)
   WHERE tracking_code = NEW.tracking_code OR shipment_id = NEW.id;
END;
CREATE TRIGGER easypost_objects_relinked AFTER UPDATE OF reference, tracking_code ON easypost_objects
  WHEN OLD.reference IS NOT NEW.reference OR OLD.tracking_code IS NOT NEW.tracking_code BEGIN
  UPDATE shipments SET (shop_domain, order_id, linked_by) = (
      SELECT coalesce(by_code, by_reference) ->> 0, coalesce(by_code, by_reference) ->> 1, coalesce(by_code, by_reference) ->> 2
        FROM shipment_orders o WHERE o.mode = shipments.mode AND o.tracker_id = shipments.tracker_id)
   WHERE tracking_code IN (OLD.tracking_code, NEW.tracking_code) OR shipment_id = NEW.id;
END;
CREATE TRIGGER sales_orders_linked AFTER INSERT ON sales_orders BEGIN
  UPDATE shipments SET (shop_domain, order_id, linked_by) = (
      SELECT coalesce(by_code, by_reference) ->> 0, coalesce(by_code, by_reference) ->> 1, coalesce(by_code, by_reference) ->> 2
        FROM shipment_orders o WHERE o.mode = shipments.mode AND o.tracker_id = shipments.tracker_id)
   WHERE (mode, tracker_id) IN (
      SELECT t.mode, t.tracker_id FROM easypost_objects e JOIN shipments t ON t.tracking_code = e.tracking_code
       WHERE e.reference IN (NEW.name, ltrim(NEW.name, '#'))
      UNION SELECT t.mode, t.tracker_id FROM easypost_objects e JOIN shipments t ON t.shipment_id = e.id
       WHERE e.reference IN (NEW.name, ltrim(NEW.name, '#')));
END;
CREATE TRIGGER sales_orders_relinked AFTER UPDATE OF name, created_at ON sales_orders
  WHEN OLD.name IS NOT NEW.name OR OLD.created_at IS NOT NEW.created_at BEGIN
  UPDATE shipments SET (shop_domain, order_id, linked_by) = (
      SELECT coalesce(by_code, by_reference) ->> 0, coalesce(by_code, by_reference) ->> 1, coalesce(by_code, by_reference) ->> 2
        FROM shipment_orders o WHERE o.mode = shipments.mode AND o.tracker_id = shipments.tracker_id)
   WHERE (mode, tracker_id) IN (
      SELECT t.mode, t.tracker_id FROM easypost_objects e JOIN shipments t ON t.tracking_code = e.tracking_code
       WHERE e.reference IN (NEW.name, ltrim(NEW.name, '#'))
      UNION SELECT t.mode, t.tracker_id FROM easypost_objects e JOIN shipments t ON t.shipment_id = e.id
       WHERE e.reference IN (NEW.name, ltrim(NEW.name, '#')));
END;
CREATE TRIGGER fulfillment_tracking_numbers_relinked AFTER UPDATE OF number ON fulfillment_tracking_numbers BEGIN
  UPDATE shipments SET (shop_domain, order_id, linked_by) = (
      SELECT coalesce(by_code, by_reference) ->> 0, coalesce(by_code, by_reference) ->> 1, coalesce(by_code, by_reference) ->> 2
        FROM shipment_orders o WHERE o.mode = shipments.mode AND o.tracker_id = shipments.tracker_id)
   WHERE tracking_code IN (OLD.number, NEW.number);
END;
CREATE TRIGGER sales_orders_unlinked AFTER DELETE ON sales_orders WHEN OLD.order_id IS NOT NULL BEGIN
  UPDATE shipments SET (shop_domain, order_id, linked_by) = (
      SELECT coalesce(by_code, by_reference) ->> 0, coalesce(by_code, by_reference) ->> 1, coalesce(by_code, by_reference) ->> 2
        FROM shipment_orders o WHERE o.mode = shipments.mode AND o.tracker_id = shipments.tracker_id)
   WHERE shop_domain = OLD.shop_domain AND order_id = OLD.order_id;
END;
CREATE TRIGGER fulfillments_unlinked AFTER DELETE ON fulfillments WHEN OLD.order_id IS NOT NULL BEGIN
  UPDATE shipments SET (shop_domain, order_id, linked_by) = (
      SELECT coalesce(by_code, by_reference) ->> 0, coalesce(by_code, by_reference) ->> 1, coalesce(by_code, by_reference) ->> 2
        FROM shipment_orders o WHERE o.mode = shipments.mode AND o.tracker_id = shipments.tracker_id)
   WHERE shop_domain = OLD.shop_domain AND order_id = OLD.order_id;
END;

-- Retail purchase orders, from EDI ----------------------------------------------------------------------------------

CREATE TABLE purchase_orders (
  -- A retailer's purchase order as it stands now: the order and all changes to it, in the order of their own numbers and dates,
  -- however they came. Written anew from purchase_order_documents whenever one more comes.
  partner         TEXT NOT NULL,    -- who orders: ISA06 of X12, TradingPartnerId of RSX
  po_number       TEXT NOT NULL,    -- the retailer's number
  release         TEXT NOT NULL,    -- the release of a blanket order; '' for none
  status          TEXT NOT NULL CHECK (status IN ('open', 'cancelled', 'waiting')), -- waiting: a change came, its order did not yet
  customer        TEXT,             -- the ERP's customer by sps_partner_mappings; NULL: not mapped, see unmapped_partners
  attention       TEXT,             -- what a person must look at; NULL: nothing
  purpose         TEXT,             -- 00 original, 05 replace, 07 duplicate …
  kind            TEXT,             -- SA stand alone, DS drop ship, KN cross dock …
  ordered_on      TEXT,             -- day
  currency        TEXT,             -- ISO 4217, where it was told
  department      TEXT,             -- the retailer's
  vendor          TEXT,             -- our number at the retailer
  contract        TEXT,             -- the retailer's
  is_test         INTEGER NOT NULL, -- 1: the sender says it is a test: not to be shipped
  stated_lines    TEXT,             -- how many lines the sender says there are
  stated_total    TEXT,             -- what the sender says it comes to
  lines_total     TEXT,             -- quantity times price of the open lines, where all have both; exact decimal text
  changes         INTEGER NOT NULL, -- how many changes came
  event_id        INTEGER,          -- the event that brought the order; NULL while it is waited for
  last_event_id   INTEGER NOT NULL, -- the event that changed it last
  PRIMARY KEY (partner, po_number, release)
) STRICT;
CREATE INDEX purchase_orders_by_number ON purchase_orders (po_number);
CREATE INDEX purchase_orders_attention ON purchase_orders (partner) WHERE attention IS NOT NULL;

CREATE TABLE purchase_order_lines (
  -- The lines of a purchase order as they stand now, deleted ones too.
  partner       TEXT NOT NULL,    -- with po_number and release: whose line it is
  po_number     TEXT NOT NULL,    -- as in purchase_orders
  release       TEXT NOT NULL,    -- as in purchase_orders
  position      INTEGER NOT NULL, -- 1, 2, 3 … as in the order; added lines behind
  line_number   TEXT,             -- the retailer's, where it has one
  status        TEXT NOT NULL CHECK (status IN ('open', 'cancelled')), -- cancelled: a change took it out
  quantity      TEXT,             -- exact decimal text, in unit
  unit          TEXT,             -- EA, CA, LB …
  price         TEXT,             -- of one unit, exact decimal text
  price_basis   TEXT,             -- what the price is for: PE each, HP per hundred …
  buyer_item    TEXT,             -- the retailer's number of the goods
  vendor_item   TEXT,             -- ours, as the retailer has it
  upc           TEXT,             -- UPC or EAN of what is sold
  gtin          TEXT,             -- GTIN of the case
  description   TEXT,             -- in words
  pack          TEXT,             -- how many inner units one unit holds
  item          TEXT,             -- the ERP's item by sps_item_mappings; NULL: not mapped, see unmapped_purchase_lines
  item_unit     TEXT,             -- the ERP's unit
  item_quantity TEXT,             -- quantity in it; exact decimal text
  PRIMARY KEY (partner, po_number, release, position)
) STRICT;
CREATE INDEX purchase_order_lines_by_buyer_item ON purchase_order_lines (buyer_item);
CREATE INDEX purchase_order_lines_by_vendor_item ON purchase_order_lines (vendor_item);
CREATE INDEX purchase_order_lines_by_upc ON purchase_order_lines (upc);
CREATE INDEX purchase_order_lines_by_gtin ON purchase_order_lines (gtin);
CREATE INDEX purchase_order_lines_unmapped ON purchase_order_lines (partner) WHERE item IS NULL;

CREATE TABLE purchase_order_parts (
  -- Everything else of a purchase order, a row for each: dates, references, contacts, addresses, terms, carriers, allowances,
  -- notes; of a line also its schedules and ids.
  partner   TEXT NOT NULL,    -- with po_number and release: whose it is
  po_number TEXT NOT NULL,    -- as in purchase_orders
  release   TEXT NOT NULL,    -- as in purchase_orders
  position  INTEGER NOT NULL, -- of the line; 0: of the order itself
  kind      TEXT NOT NULL,    -- date, reference, contact, address, terms, carrier, allowance, note, schedule, id
  place     INTEGER NOT NULL, -- 1, 2, 3 … among those of its kind
  code      TEXT,             -- what it is, in X12's codes: 002 delivery requested, ST ship to, DP department, C310 discount …
  value     TEXT,             -- the day, the number, the name, the amount, the quantity, the text
  details   TEXT NOT NULL,    -- JSON: all of it
  PRIMARY KEY (partner, po_number, release, position, kind, place)
) STRICT;

CREATE TABLE purchase_order_documents (
  -- Every order and change that came, as it was understood; the bytes are in the event.
  event_id  INTEGER NOT NULL, -- the event that brought it
  part      INTEGER NOT NULL, -- 1, 2, 3 … in its file
  partner   TEXT NOT NULL,    -- as in purchase_orders
  po_number TEXT NOT NULL,    -- as in purchase_orders
  release   TEXT NOT NULL,    -- as in purchase_orders
  is_change INTEGER NOT NULL, -- 1: an 860
  document  TEXT NOT NULL,    -- JSON
  PRIMARY KEY (event_id, part)
) STRICT;
CREATE INDEX purchase_order_documents_by_order ON purchase_order_documents (partner, po_number, release);

CREATE TABLE purchase_order_changes (
  -- What each change did, line by line, in the order they apply: the history of the order.
  partner     TEXT NOT NULL,    -- with po_number and release: whose it is
  po_number   TEXT NOT NULL,    -- as in purchase_orders
  release     TEXT NOT NULL,    -- as in purchase_orders
  step        INTEGER NOT NULL, -- 1, 2, 3 …
  event_id    INTEGER NOT NULL, -- the event that brought the change
  sequence    TEXT,             -- its number, by the retailer
  changed_on  TEXT,             -- its day
  line_number TEXT,             -- which line; NULL: the order itself
  code        TEXT,             -- AI added, DI deleted, PC price, QI and QD quantity …
  outcome     TEXT NOT NULL CHECK (outcome IN ('applied', 'waiting', 'unclear')), -- unclear: a person must look
  said        TEXT NOT NULL,    -- in words: quantity 10 → 12
  PRIMARY KEY (partner, po_number, release, step)
) STRICT;

CREATE TABLE edi_faults (
  -- What was wrong with a file, and where.
  event_id INTEGER NOT NULL REFERENCES webhook_events (id) ON DELETE CASCADE, -- the file
  place    INTEGER NOT NULL, -- 1, 2, 3 … in the file
  severity TEXT NOT NULL CHECK (severity IN ('warning', 'error')), -- error: the order was not taken
  part     INTEGER NOT NULL, -- which order of the file; 0: the file itself
  line     INTEGER NOT NULL, -- line of the file; 0: not told
  position INTEGER NOT NULL, -- place of the segment in its set, ST is 1; 0: not told
  at       TEXT NOT NULL,    -- BEG03, Header/OrderHeader …
  said     TEXT NOT NULL,    -- what it is
  PRIMARY KEY (event_id, place)
) STRICT;

CREATE TABLE edi_sent (
  -- Invoices (810) and ship notices (856) that were sent for purchase orders. A number goes to a partner once.
  kind      TEXT NOT NULL CHECK (kind IN ('810', '856')), -- X12's number of it, also for RSX
  partner   TEXT NOT NULL,    -- as in purchase_orders
  number    TEXT NOT NULL,    -- ours: of the invoice or the shipment
  event_id  INTEGER NOT NULL, -- the event that carries it out; its deliveries say how far it is
  file_name TEXT NOT NULL,    -- as the partner sees it
  total     TEXT,             -- of an invoice, exact decimal text
  is_test   INTEGER NOT NULL, -- 1: for an order that is a test
  sent_at   TEXT NOT NULL,    -- when it was queued
  document  TEXT NOT NULL,    -- JSON, as it was given
  PRIMARY KEY (kind, partner, number)
) STRICT;

CREATE TABLE edi_sent_lines (
  -- What of each line of an order was invoiced or shipped, by which document.
  kind      TEXT NOT NULL,    -- with partner and number: of edi_sent
  partner   TEXT NOT NULL,    -- as in edi_sent
  number    TEXT NOT NULL,    -- as in edi_sent
  place     INTEGER NOT NULL, -- 1, 2, 3 … in the document
  po_number TEXT NOT NULL,    -- the purchase order
  release   TEXT NOT NULL,    -- as in purchase_orders
  line      TEXT NOT NULL,    -- the retailer's number of the line; #1, #2 … where it has none
  goods     TEXT NOT NULL,    -- what tells the goods from others when lines are numbered anew: buyer B1, vendor V1 …
  quantity  TEXT NOT NULL,    -- exact decimal text
  unit      TEXT,             -- EA, CA, LB …
  PRIMARY KEY (kind, partner, number, place),
  FOREIGN KEY (kind, partner, number) REFERENCES edi_sent (kind, partner, number) ON DELETE CASCADE
) STRICT;
CREATE INDEX edi_sent_lines_by_order ON edi_sent_lines (partner, po_number, release, kind);

CREATE TABLE edi_sent_labels (
  -- The labels of packs that were sent: none stands on two.
  sscc    TEXT PRIMARY KEY, -- its 18 digits
  partner TEXT NOT NULL,    -- who got the pack
  number  TEXT NOT NULL,    -- the shipment
  sent_at TEXT NOT NULL     -- when its notice was queued
) STRICT, WITHOUT ROWID;

CREATE TABLE edi_control_numbers (
  -- The last control number that was used with a partner: none is used twice.
  partner TEXT NOT NULL,    -- as in purchase_orders
  kind    TEXT NOT NULL,    -- interchange, group
  last    INTEGER NOT NULL, -- the last one used
  PRIMARY KEY (partner, kind)
) STRICT, WITHOUT ROWID;

CREATE TABLE sps_partner_mappings (
  -- Who a trading partner is in the ERP, and how it writes. `novex-ingest sps map partner` keeps it; rows may be changed by hand.
  partner    TEXT PRIMARY KEY,            -- as in purchase_orders
  customer   TEXT NOT NULL CHECK (customer <> ''), -- the ERP's customer number
  quantity   TEXT NOT NULL DEFAULT 'total' -- in a change of quantity (QI, QD): the new total, or what is added or taken
             CHECK (quantity IN ('total', 'delta')),
  note       TEXT,                        -- for people
  created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')) -- when it was added
) STRICT;

CREATE TABLE sps_item_mappings (
  -- What a retailer's goods are in the ERP. `novex-ingest sps map item` keeps it; rows may be changed by hand. Orders that came
  -- before are completed by it: the triggers below.
  id         INTEGER PRIMARY KEY,       -- no meaning
  partner    TEXT NOT NULL DEFAULT '',  -- whose number it is; '' for everybody's
  kind       TEXT NOT NULL CHECK (kind IN ('buyer', 'vendor', 'upc', 'gtin')), -- which number of the line
  value      TEXT NOT NULL CHECK (value <> ''), -- that number
  unit       TEXT NOT NULL DEFAULT '',  -- only for lines in this unit; '' for any
  item       TEXT NOT NULL CHECK (item <> ''), -- the ERP's item number
  item_unit  TEXT,                      -- the ERP's unit; NULL: the line's
  factor     TEXT NOT NULL DEFAULT '1'  -- ERP units in one unit of the line: '12' for a case that the ERP counts in pieces; at
                                        -- most 6 digits before the point and 6 behind it
             CHECK (factor NOT GLOB '*[^0-9.]*' AND factor GLOB '[0-9]*' AND factor NOT GLOB '*.*.*' AND factor NOT GLOB '*.'
                    AND factor NOT GLOB '*.???????*' AND length(CAST(factor AS INTEGER)) <= 6 AND CAST(factor AS REAL) > 0),
  note       TEXT,                      -- for people
  created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')), -- when it was added
  UNIQUE (kind, value, partner, unit)
) STRICT;

CREATE VIEW purchase_order_line_mappings AS
  -- Which mapping fits each line: the partner's own before everybody's, one for the unit before one for any, then by buyer's,
  -- vendor's, GTIN, UPC. Whole numbers are multiplied and the point is set afterwards, so that it is exact; over 18 digits it is NULL.
  SELECT partner, po_number, release, position, item, coalesce(item_unit, unit) AS item_unit,
         CASE WHEN quantity IS NULL OR digits > 18 THEN NULL WHEN decimals = 0 THEN CAST(product AS TEXT)
              ELSE rtrim(rtrim(CASE WHEN product < 0 THEN '-' ELSE '' END || (abs(product) / CAST('1' || substr('000000000000', 1, decimals) AS INTEGER)) || '.'
                   || substr('000000000000' || (abs(product) % CAST('1' || substr('000000000000', 1, decimals) AS INTEGER)), -decimals), '0'), '.') END AS item_quantity
    FROM (SELECT l.partner, l.po_number, l.release, l.position, l.quantity, l.unit, m.item, m.item_unit,
                 CAST(replace(l.quantity, '.', '') AS INTEGER) * CAST(replace(m.factor, '.', '') AS INTEGER) AS product,
                 length(replace(l.quantity, '.', '')) + length(replace(m.factor, '.', '')) AS digits,
                 CASE WHEN instr(l.quantity, '.') = 0 THEN 0 ELSE length(l.quantity) - instr(l.quantity, '.') END
                 + CASE WHEN instr(m.factor, '.') = 0 THEN 0 ELSE length(m.factor) - instr(m.factor, '.') END AS decimals
            FROM purchase_order_lines l JOIN sps_item_mappings m ON m.id = (
                 SELECT c.id FROM sps_item_mappings c
                  WHERE (c.kind, c.value) IN (VALUES ('buyer', l.buyer_item), ('vendor', l.vendor_item), ('gtin', l.gtin), ('upc', l.upc))
                    AND c.partner IN (l.partner, '') AND c.unit IN (l.unit, '')
                  ORDER BY c.partner = '', c.unit = '',
                        CASE c.kind WHEN 'buyer' THEN 1 WHEN 'vendor' THEN 2 WHEN 'gtin' THEN 3 ELSE 4 END LIMIT 1));

-- A line gets its item when its order is written (store::purchase_orders), and by these when a mapping changes.
CREATE TRIGGER sps_item_mappings_added AFTER INSERT ON sps_item_mappings BEGIN
  UPDATE purchase_order_lines SET (item, item_unit, item_quantity) = (
      SELECT m.item, m.item_unit, m.item_quantity FROM purchase_order_line_mappings m
       WHERE (m.partner, m.po_number, m.release, m.position) = (purchase_order_lines.partner, purchase_order_lines.po_number,
              purchase_order_lines.release, purchase_order_lines.position))
   WHERE buyer_item = NEW.value OR vendor_item = NEW.value OR upc = NEW.value OR gtin = NEW.value;
END;
CREATE TRIGGER sps_item_mappings_removed AFTER DELETE ON sps_item_mappings BEGIN
  UPDATE purchase_order_lines SET (item, item_unit, item_quantity) = (
      SELECT m.item, m.item_unit, m.item_quantity FROM purchase_order_line_mappings m
       WHERE (m.partner, m.po_number, m.release, m.position) = (purchase_order_lines.partner, purchase_order_lines.po_number,
              purchase_order_lines.release, purchase_order_lines.position))
   WHERE buyer_item = OLD.value OR vendor_item = OLD.value OR upc = OLD.value OR gtin = OLD.value;
END;
CREATE TRIGGER sps_item_mappings_changed AFTER UPDATE OF partner, kind, value, unit, item, item_unit, factor ON sps_item_mappings BEGIN
  UPDATE purchase_order_lines SET (item, item_unit, item_quantity) = (
      SELECT m.item, m.item_unit, m.item_quantity FROM purchase_order_line_mappings m
       WHERE (m.partner, m.po_number, m.release, m.position) = (purchase_order_lines.partner, purchase_order_lines.po_number,
              purchase_order_lines.release, purchase_order_lines.position))
   WHERE buyer_item IN (OLD.value, NEW.value) OR vendor_item IN (OLD.value, NEW.value) OR upc IN (OLD.value, NEW.value)
      OR gtin IN (OLD.value, NEW.value);
END;
CREATE TRIGGER sps_partner_mappings_added AFTER INSERT ON sps_partner_mappings BEGIN
  UPDATE purchase_orders SET customer = NEW.customer WHERE partner = NEW.partner;
END;
CREATE TRIGGER sps_partner_mappings_removed AFTER DELETE ON sps_partner_mappings BEGIN
  UPDATE purchase_orders SET customer = NULL WHERE partner = OLD.partner;
END;
CREATE TRIGGER sps_partner_mappings_changed AFTER UPDATE OF partner, customer ON sps_partner_mappings BEGIN
  UPDATE purchase_orders SET customer = NULL WHERE partner = OLD.partner;
  UPDATE purchase_orders SET customer = NEW.customer WHERE partner = NEW.partner;
END;

CREATE VIEW unmapped_purchase_lines AS
  -- What retailers order and has no item in the ERP: `novex-ingest sps map item` completes these orders.
  SELECT partner, buyer_item, vendor_item, upc, gtin, unit, min(description) AS description, count(*) AS lines,
         count(DISTINCT po_number) AS orders, min(po_number) AS first_order
    FROM purchase_order_lines INDEXED BY purchase_order_lines_unmapped WHERE item IS NULL AND status = 'open'
   GROUP BY partner, buyer_item, vendor_item, upc, gtin, unit;

CREATE VIEW unmapped_partners AS
  -- Who orders and is no customer in the ERP: `novex-ingest sps map partner` completes these orders.
  SELECT partner, count(*) AS orders, min(po_number) AS first_order FROM purchase_orders WHERE customer IS NULL GROUP BY partner;

-- Polling directories -----------------------------------------------------------------------------------------------

CREATE TABLE sps_files (
  -- Every file that was seen at a source, and who is at it: claimed like an event, by hostname and PID, in one transaction.
  source         TEXT NOT NULL,    -- its name in the configuration
  name           TEXT NOT NULL,    -- the file's name
  status         TEXT NOT NULL CHECK (status IN ('seen', 'taking', 'stored', 'done', 'failed')), -- stored: an event, but it
                                   -- could not be moved or deleted yet; done: that too; failed: see last_error, tried again
  size           INTEGER,          -- bytes, as the source says; NULL: it does not
  modified       TEXT,             -- as the source says; NULL: it does not
  event_id       INTEGER,          -- the event that it became last
  taken          INTEGER NOT NULL DEFAULT 0, -- how often it was taken
  attempts       INTEGER NOT NULL DEFAULT 0, -- that failed, one after another
  next_attempt_at TEXT,            -- not before this; NULL: now
  locked_by      TEXT,             -- hostname:pid of who takes it; only while taking
  locked_process TEXT,             -- boot id / pid namespace / start time of that process
  lease_until    TEXT,             -- the claim may be taken over after this
  last_error     TEXT,             -- why it could not be taken, moved or deleted
  seen_at        TEXT NOT NULL,    -- when it was seen last
  PRIMARY KEY (source, name),
  CHECK ((status = 'taking') = (locked_by IS NOT NULL))
) STRICT;
CREATE INDEX sps_files_held ON sps_files (lease_until) WHERE status = 'taking';

CREATE TABLE sps_sources (
  -- How each source is doing; shared by all processes.
  name            TEXT PRIMARY KEY,           -- as in the configuration
  failures        INTEGER NOT NULL DEFAULT 0, -- one after another, until now
  rest_until      TEXT,                       -- the schedule leaves it alone until then
  last_error      TEXT,                       -- why it could not be reached
  last_success_at TEXT,                       -- when it was listed last
  host_key        TEXT                        -- SFTP with `host_key = "first-use"`: the key it showed first; no other is taken
) STRICT;

CREATE TABLE sps_polls (
  -- Every look at every source.
  id          INTEGER PRIMARY KEY AUTOINCREMENT, -- in the order they began
  source      TEXT NOT NULL,    -- its name in the configuration
  asked_by    TEXT NOT NULL,    -- schedule, api or command
  worker      TEXT NOT NULL,    -- hostname:pid of who looked
  started_at  TEXT NOT NULL,    -- when it began
  finished_at TEXT,             -- when it ended; NULL: it runs, or its process died
  found       INTEGER NOT NULL DEFAULT 0, -- files that were there
  taken       INTEGER NOT NULL DEFAULT 0, -- that became new events
  duplicates  INTEGER NOT NULL DEFAULT 0, -- that were known with the same bytes
  skipped     INTEGER NOT NULL DEFAULT 0, -- that somebody else has, that are not due, or that still grow
  failed      INTEGER NOT NULL DEFAULT 0, -- that could not be taken, or not be moved or deleted
  error       TEXT              -- why the source could not be reached
) STRICT;
