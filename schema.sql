-- The database of novex-ingest: events, queue, deliveries, audit trail and ERP tables in one SQLite file.
--
-- Read it with `sqlite3 -readonly /var/lib/novex-ingest/events.db`. `.schema TABLE` prints the comments of a table.
-- It needs SQLite 3.39 (July 2022): HAVING without GROUP BY. `->>` needs 3.38, STRICT tables 3.37. Debian 12 has 3.40.
--
-- Contents
--   Events              webhook_events, webhook_payloads, webhook_event_log, webhook_conflicts, event_subjects,
--                       rejected_requests, secret_uses, bulk_retries, event_counts, event_counts_by_hour,
--                       database_lineage, write_probe
--   Deliveries          destination_deliveries, destination_delivery_log, destinations
--   Privacy             redacted_subjects, redactions, destructive_requests, data_requests
--   Views for operators queue, failures, destination_queue, destination_failures, event_history, throughput_by_hour,
--                       conflicts
--   Access              console_users, console_sessions, api_tokens
--   Audit trail         system_log, system_log_truncations, alerts, alert_messages
--   Shopify             sales_orders, sales_order_*, order_transactions, refunds, refund_*, fulfillments,
--                       fulfillment_*, returns, customers, products, product_variants, inventory_*, locations, shops
--   EasyPost            shipments, tracking_events, easypost_objects
--   Product mappings    shopify_product_mappings; views sales_order_line_mappings, unmapped_lines
--   Amounts             view sales_attention
--   Shipment links      view shipment_orders
--   Purchase orders     purchase_orders, purchase_order_*, edi_faults
--   Outbound documents  edi_sent, edi_sent_lines, edi_sent_labels, edi_control_numbers, edi_transmissions,
--                       edi_answers, edi_messages
--   EDI mappings        sps_partner_mappings, sps_item_mappings; views purchase_order_line_mappings,
--                       unmapped_purchase_lines, unmapped_partners
--   EDI sources         sps_files, sps_sources, sps_polls
--
-- Conventions
--   Time      UTC text to the millisecond, 2026-11-23T20:30:00.123Z, which sorts as text. A day is 2026-11-23.
--   Money     Exact decimal text, 12.50, never a float. The table states the currency.
--   Boolean   INTEGER 1 or 0.
--   NULL      Not known, or no event stated it. The comment names any other meaning.
--   Number    Shopify's numbers are 64-bit integers, unique within a shop.
--   Code      Text of a provider is not limited to the values in a comment: providers add values.
--
-- Columns that several tables share
--   shop_domain          The shop, x.myshopify.com. It begins the key of every Shopify table.
--   mode                 EasyPost's production or test. Rows of the two are never linked.
--   event_id             The event of the row. In an ERP table: the newest event that the row is as of; retention may
--                        have deleted it.
--   row_version          The version of that event: its own time, the time when it was sent, a digest of its bytes. The
--                        greater text is newer, so that events may arrive in any order.
--   column_versions      JSON object: columns and lists that the newest event left out, each with the version of the
--                        event that stated it; '' if none did. An older event can fill only these. NULL: none left out.
--   last_topic           Topic of the newest event, in tables whose events state only a change.
--   changed_at           Time when the provider sent that event.
--   position             1, 2, 3 … in the order of the parent.
--   tracking_key, number_key, sku_key, name_key, reference_key
--                        Generated: the code before it in the form in which codes are compared, because people write
--                        them with other blanks, hyphens and capitals. The code itself has no invisible characters.
--   extras               JSON object: the fields with a value that no column and no other table takes, as Shopify or
--                        EasyPost wrote them. NULL: there are none.
--   created_at           Creation of the object, as the provider states it. In tables of novex-ingest: of the row.
--   updated_at           Last change of the object, as the provider states it.
--   deleted_at           Deletion of the object at the provider. No later update brings it back. The row stays.
--   locked_by            Lease owner: hostname:pid of the process that has the claim; NULL: no claim.
--   locked_process       Boot id, pid namespace and start time of that process. A pid is reused; this is not.
--   lease_expires_at     Another process may recover the claim after this. The owner renews it while it works.
--   fencing_token        Number of claims so far. It never falls, so that a late owner of an old claim is recognised.
--   partner, po_number, release
--                        Key of a purchase order: the retailer, its order number, the release of a blanket order.
--
-- Command views: relink_shipments, relink_shipments_by_order_name, relink_shipments_by_fulfillment,
-- map_sales_order_lines, map_product_lines, map_purchase_order_lines, map_item_lines, map_partner_orders.
-- Each holds one rule in an INSTEAD OF trigger. An INSERT applies the rule to the inserted key. A SELECT returns the
-- keys. The triggers of tables and the daemon use them.

-- Events --------------------------------------------------------------------------------------------------------------

CREATE TABLE webhook_events (
  -- One row for each stored event. A row is small because every status change rewrites it; webhook_payloads holds the
  -- body. The daemon answers 200 only after this row is committed.
  id                INTEGER PRIMARY KEY AUTOINCREMENT, -- grows, with gaps; never reused, even after pruning: the ERP's
                                                       -- idempotency key
  source            TEXT NOT NULL,                     -- sender: shopify | easypost | keycloak | sps | local
  shop_domain       TEXT NOT NULL,                     -- Shopify: x.myshopify.com; SPS: the directory; others: ''
  topic             TEXT NOT NULL,                     -- kind of event, in the provider's words: orders/create,
                                                       -- tracker.updated
  webhook_id        TEXT NOT NULL,                     -- the provider's id of the event, the same when the provider
                                                       -- sends it again
  status            TEXT NOT NULL DEFAULT 'received'   -- received → processing → completed or failed
                    CHECK (status IN ('received', 'processing', 'completed', 'failed')),
  attempts          INTEGER NOT NULL DEFAULT 0,        -- claims that count; a released claim does not, nor one
                                                       -- whose worker died before the handler ran
  max_attempts      INTEGER NOT NULL DEFAULT 8,        -- the event fails at this many; `events retry` raises it
  deaths            INTEGER NOT NULL DEFAULT 0,        -- last attempts in a row that ended with the death of the process
                                                       -- or the end of the lease; above 0 the handler runs alone
  fencing_token     INTEGER NOT NULL DEFAULT 0,        -- grows with each claim
  next_attempt_at   TEXT,                              -- due time; only while received
  locked_by         TEXT,                              -- hostname:pid of the lease owner; only while processing
  locked_process    TEXT,                              -- identity of that process
  locked_at         TEXT,                              -- time of the claim
  lease_expires_at  TEXT,                              -- end of the lease
  last_error        TEXT,                              -- why the last attempt did not complete the event
  note              TEXT,                              -- remark of the handler: why the event changed nothing, or
                                                       -- what it waits for
  received_at       TEXT NOT NULL,                     -- arrival of the request
  completed_at      TEXT,                              -- time when the status became completed or failed
  provider_event_id TEXT,                              -- Shopify: the merchant's action, shared by all events that it
                                                       -- caused
  triggered_at      TEXT,                              -- the provider's time of the event, as the provider wrote it
  body_hash         INTEGER,                           -- first 8 bytes of the body's SHA-256; stays when the body is
                                                       -- deleted, so that a copy is recognised
  same_body_as      INTEGER,                           -- an earlier event with the same bytes under another webhook_id,
                                                       -- if any
  repeats           INTEGER NOT NULL DEFAULT 0,        -- Keycloak: later requests with the bytes of an event that has
                                                       -- no id and a time in whole seconds; each may be an event of
                                                       -- its own
  same_name_as      INTEGER,                           -- SPS: an earlier event from a file of this name with other
                                                       -- bytes, if any
  redacted_at       TEXT,                              -- time when a redaction erased the event's content; NULL: not
                                                       -- redacted
  test              INTEGER NOT NULL DEFAULT 0         -- 1: a test event of `setup` or `send`; no table, destination or
                    CHECK (test IN (0, 1)),            -- count has it
  dismissed_at      TEXT,                              -- time when an operator dismissed the failed event; NULL: not
                                                       -- dismissed, or retried since
  dismissed_reason  TEXT,                              -- the operator's reason; a redaction erases it
  dismissed_by      TEXT,                              -- the operator: user@host
  UNIQUE (source, shop_domain, webhook_id),  -- decides what is a duplicate
  CHECK (dismissed_at IS NULL OR status = 'failed'),
  CHECK ((status = 'processing') = (locked_by IS NOT NULL)),
  CHECK ((status = 'received') = (next_attempt_at IS NOT NULL))
) STRICT;

-- Indexes of the queue. They leave out finished events, so that a claim costs the same after ten million events.
CREATE INDEX webhook_events_due ON webhook_events (next_attempt_at, id) WHERE status = 'received';
CREATE INDEX webhook_events_leased ON webhook_events (lease_expires_at) WHERE status = 'processing';
CREATE INDEX webhook_events_failed ON webhook_events (id) WHERE status = 'failed';
CREATE INDEX webhook_events_dismissed ON webhook_events (source)
  WHERE status = 'failed' AND dismissed_at IS NOT NULL AND test = 0;
CREATE INDEX webhook_events_test ON webhook_events (id) WHERE test = 1;
CREATE INDEX webhook_events_by_body ON webhook_events (body_hash);

CREATE TABLE webhook_payloads (
  -- Body and headers as received. They are written once, with the event, and never change.
  event_id  INTEGER PRIMARY KEY REFERENCES webhook_events (id) ON DELETE CASCADE, -- event of the payload
  headers   TEXT NOT NULL,   -- JSON object; names in lower case, without credentials and signatures
  body      BLOB NOT NULL    -- exact bytes:
                             -- SELECT writefile('body.json', body) FROM webhook_payloads WHERE event_id = 17
) STRICT;

CREATE TABLE webhook_event_log (
  -- Every status change of every event, written in the transaction that makes the change.
  id          INTEGER PRIMARY KEY, -- in the order of the changes
  event_id    INTEGER NOT NULL REFERENCES webhook_events (id) ON DELETE CASCADE, -- event that changed
  at          TEXT NOT NULL,       -- time of the change
  from_status TEXT,                -- status before; NULL: the event arrived
  to_status   TEXT NOT NULL,       -- status after
  attempt     INTEGER NOT NULL,    -- attempt of the change; 0 before the first
  worker      TEXT,                -- hostname:pid of the process that made the change
  duration_ms INTEGER,             -- duration of the attempt; NULL if nothing ran
  error       TEXT                 -- why the event is not completed, or why the claim ended
) STRICT;
CREATE INDEX webhook_event_log_by_event ON webhook_event_log (event_id);

CREATE TABLE webhook_conflicts (
  -- Requests that repeat a webhook_id and topic with other bytes. The event keeps its first body; this table keeps the
  -- other one.
  id          INTEGER PRIMARY KEY, -- in the order of arrival
  event_id    INTEGER NOT NULL REFERENCES webhook_events (id) ON DELETE CASCADE, -- event whose webhook_id the request
                                                                                 -- repeats
  at          TEXT NOT NULL,       -- arrival of the request
  headers     TEXT NOT NULL,       -- as in webhook_payloads
  body        BLOB NOT NULL,       -- exact bytes
  body_sha256 TEXT NOT NULL,       -- lower-case hex
  UNIQUE (event_id, body_sha256) -- the same other bytes are stored once
) STRICT;

CREATE TABLE event_subjects (
  -- Subjects of each processed event. `novex-ingest events search` and redactions find events by them.
  kind        TEXT NOT NULL, -- order, customer, product, fulfillment, fulfillment_order, return, refund, tracker,
                             -- tracking_code …; each row that an event becomes has a subject for each column of its
                             -- key: refund for refund_id
  key         TEXT NOT NULL, -- number or code of the subject
  shop_domain TEXT NOT NULL, -- shop of the event; '' if the source has no shops
  event_id    INTEGER NOT NULL REFERENCES webhook_events (id) ON DELETE CASCADE, -- event
  PRIMARY KEY (key, kind, shop_domain, event_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX event_subjects_by_event ON event_subjects (event_id);

CREATE TABLE rejected_requests (
  -- The last 1,000 rejected requests, for the question "why does the provider get a 401?". No body and no secret is
  -- stored. `novex-ingest events rejected` lists them with what to check.
  id           INTEGER PRIMARY KEY AUTOINCREMENT, -- grows; the row 1,000 before the newest is deleted
  at           TEXT NOT NULL,                     -- arrival of the request
  remote_addr  TEXT NOT NULL,                     -- address of the client
  method       TEXT NOT NULL,                     -- POST for a webhook
  path         TEXT NOT NULL,                     -- path of the request
  http_status  INTEGER NOT NULL,                  -- status of the answer
  reason       TEXT NOT NULL,                     -- signature_mismatch, unknown_shop, body_too_large, …
  detail       TEXT,                              -- details of the reason
  header_names TEXT NOT NULL,                     -- names of the headers, without values, separated by spaces
  body_sha256  TEXT,                              -- lower-case hex of the bytes read; NULL: none
  body_bytes   INTEGER NOT NULL,                  -- bytes read before the rejection
  unrecorded   INTEGER NOT NULL DEFAULT 0         -- rejections since the row before that exceeded the recording rate
) STRICT;

CREATE TABLE secret_uses (
  -- When each secret last proved an event, written at most once an hour for a secret. After a rotation it shows whether
  -- the old secret can go: `novex-ingest doctor`. It holds no part of a secret. Test events are not counted.
  source       TEXT NOT NULL, -- as in webhook_events
  shop_domain  TEXT NOT NULL, -- Shopify: x.myshopify.com; others: ''
  secret       TEXT NOT NULL, -- the place of the secret, as the configuration names it: file:secrets/easypost
  last_used_at TEXT NOT NULL, -- arrival of the event
  PRIMARY KEY (source, shop_domain, secret)
) STRICT, WITHOUT ROWID;

CREATE TABLE bulk_retries (
  -- The last 1,000 retries of all events that match a filter, which a person starts in the console.
  id             INTEGER PRIMARY KEY AUTOINCREMENT, -- in the order of their starts
  started_at     TEXT NOT NULL,                     -- time of the start
  started_by     TEXT NOT NULL,                     -- name of the console user
  address        TEXT,                              -- address of the browser
  filter         TEXT NOT NULL,                     -- filter as in the address of the page:
                                                    -- status=failed&source=shopify
  state          TEXT NOT NULL DEFAULT 'running'    -- running → completed; stopped by a person; interrupted by the end
                 CHECK (state IN ('running', 'completed', 'stopped', 'interrupted', 'failed')), -- of the daemon; failed
  position       INTEGER NOT NULL,                  -- events with this id or a higher one are done or came later
  retried        INTEGER NOT NULL DEFAULT 0,        -- number of retried events
  skipped        INTEGER NOT NULL DEFAULT 0,        -- number of events that cannot be retried, such as those without
                                                    -- a body
  worker         TEXT NOT NULL,                     -- hostname:pid of the process that retries
  worker_process TEXT NOT NULL,                     -- identity of that process
  finished_at    TEXT,                              -- time of the end; NULL: it runs
  error          TEXT                               -- why it failed or was interrupted
) STRICT;
CREATE INDEX bulk_retries_running ON bulk_retries (id) WHERE state = 'running';

CREATE TABLE event_counts (
  -- Number of events by source and status, without test events. Triggers maintain it, so that a count costs the same
  -- at any size.
  source TEXT NOT NULL,    -- as in webhook_events
  status TEXT NOT NULL,    -- as in webhook_events
  events INTEGER NOT NULL, -- number of events
  PRIMARY KEY (source, status)
) STRICT, WITHOUT ROWID;

CREATE TABLE event_counts_by_hour (
  -- Number of events by hour and source, without test events. Triggers maintain it; read it as throughput_by_hour.
  hour      TEXT NOT NULL,              -- 2026-11-23T20
  source    TEXT NOT NULL,              -- as in webhook_events
  received  INTEGER NOT NULL DEFAULT 0, -- events that arrived
  completed INTEGER NOT NULL DEFAULT 0, -- events that were completed
  failed    INTEGER NOT NULL DEFAULT 0, -- events that failed for good
  retried   INTEGER NOT NULL DEFAULT 0, -- attempts that failed and left their event to a later attempt
  PRIMARY KEY (hour, source)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER webhook_events_counted AFTER INSERT ON webhook_events WHEN NEW.test = 0 BEGIN
  INSERT INTO event_counts VALUES (NEW.source, NEW.status, 1)
    ON CONFLICT DO UPDATE SET events = events + 1;
  INSERT INTO event_counts_by_hour (hour, source, received) VALUES (substr(NEW.received_at, 1, 13), NEW.source, 1)
    ON CONFLICT DO UPDATE SET received = received + 1;
END;

CREATE TRIGGER webhook_events_recounted AFTER UPDATE OF status ON webhook_events
  WHEN OLD.status <> NEW.status AND NEW.test = 0 BEGIN
  UPDATE event_counts SET events = events - 1 WHERE source = OLD.source AND status = OLD.status;
  INSERT INTO event_counts VALUES (NEW.source, NEW.status, 1)
    ON CONFLICT DO UPDATE SET events = events + 1;
END;

CREATE TRIGGER webhook_events_finished AFTER UPDATE OF status ON webhook_events
  WHEN NEW.status IN ('completed', 'failed') AND OLD.status <> NEW.status AND NEW.test = 0 BEGIN
  INSERT INTO event_counts_by_hour (hour, source, completed, failed)
    VALUES (substr(NEW.completed_at, 1, 13), NEW.source, NEW.status = 'completed', NEW.status = 'failed')
    ON CONFLICT DO UPDATE SET completed = completed + excluded.completed, failed = failed + excluded.failed;
END;

CREATE TRIGGER webhook_events_retried AFTER UPDATE OF status ON webhook_events
  WHEN OLD.status = 'processing' AND NEW.status = 'received' AND NEW.attempts = OLD.attempts AND NEW.test = 0 BEGIN
  INSERT INTO event_counts_by_hour (hour, source, retried) VALUES (substr(OLD.locked_at, 1, 13), NEW.source, 1)
    ON CONFLICT DO UPDATE SET retried = retried + 1;
END;

CREATE TRIGGER webhook_events_uncounted AFTER DELETE ON webhook_events WHEN OLD.test = 0 BEGIN
  UPDATE event_counts SET events = events - 1 WHERE source = OLD.source AND status = OLD.status;
END;

CREATE TABLE database_lineage (
  -- Distinguishes this database and its backups from a database that was created later in its place. One row.
  id         TEXT PRIMARY KEY, -- random; a backup and a restored database keep it
  created_at TEXT NOT NULL     -- creation of the database
) STRICT;
INSERT INTO database_lineage VALUES (lower(hex(randomblob(4))), strftime('%Y-%m-%dT%H:%M:%fZ', 'now'));

CREATE TABLE write_probe (
  -- GET /healthz writes here, so that it answers 200 only while an event could be stored.
  id INTEGER PRIMARY KEY CHECK (id = 1), -- one row, which each probe overwrites
  at TEXT NOT NULL                       -- time of the last successful write
) STRICT;

-- Deliveries ----------------------------------------------------------------------------------------------------------

CREATE TABLE destination_deliveries (
  -- One row for each event and destination that wants it, inserted in the transaction that completes the event. A
  -- delivery arrives at least once: the receiver uses the event id as idempotency key.
  id               INTEGER PRIMARY KEY AUTOINCREMENT, -- in the order in which the events were completed
  event_id         INTEGER NOT NULL REFERENCES webhook_events (id) ON DELETE CASCADE, -- event to deliver
  destination      TEXT NOT NULL,                     -- its name in config.toml
  ordering_key     TEXT NOT NULL,                     -- deliveries with one key keep their order: shop and order; ''
                                                      -- for no order
  status           TEXT NOT NULL DEFAULT 'pending'    -- pending → delivering → delivered or failed
                  CHECK (status IN ('pending', 'delivering', 'delivered', 'failed')),
  attempts         INTEGER NOT NULL DEFAULT 0,        -- attempts that count; a probe of a destination that is still
                                                      -- unreachable does not
  max_attempts     INTEGER NOT NULL,                  -- the delivery fails at this many; `events retry` raises it
  deaths           INTEGER NOT NULL DEFAULT 0,        -- last attempts in a row that ended with the death of the process
                                                      -- or the end of the lease; above 0 it is sent alone
  fencing_token    INTEGER NOT NULL DEFAULT 0,        -- grows with each claim
  next_attempt_at  TEXT,                              -- due time; only while pending
  not_before       TEXT,                              -- earliest time that Retry-After or a rejection of this event
                                                      -- set; NULL: none
  locked_by        TEXT,                              -- hostname:pid of the lease owner; only while delivering
  locked_process   TEXT,                              -- identity of that process
  locked_at        TEXT,                              -- time of the claim
  lease_expires_at TEXT,                              -- end of the lease
  last_error       TEXT,                              -- why the last attempt did not deliver the event, with the
                                                      -- answer of the destination: up to 2,000 characters
  created_at       TEXT NOT NULL,                     -- time when the event was completed
  finished_at      TEXT,                              -- time when the status became delivered or failed
  dismissed_at     TEXT,                              -- time when an operator dismissed the failed delivery; NULL: not
                                                      -- dismissed, or retried since
  dismissed_reason TEXT,                              -- the operator's reason; a redaction erases it
  dismissed_by     TEXT,                              -- the operator: user@host
  UNIQUE (event_id, destination),
  CHECK (dismissed_at IS NULL OR status = 'failed'),
  CHECK ((status = 'delivering') = (locked_by IS NOT NULL)),
  CHECK ((status = 'pending') = (next_attempt_at IS NOT NULL))
) STRICT;
CREATE INDEX destination_deliveries_due ON destination_deliveries (destination, event_id) WHERE status = 'pending';
CREATE INDEX destination_deliveries_in_flight ON destination_deliveries (destination, ordering_key)
  WHERE status = 'delivering';
CREATE INDEX destination_deliveries_in_order ON destination_deliveries (destination, ordering_key, event_id)
  WHERE status = 'pending';
CREATE INDEX destination_deliveries_failed ON destination_deliveries (id) WHERE status = 'failed';

CREATE TABLE destination_delivery_log (
  -- Every attempt of every delivery.
  id          INTEGER PRIMARY KEY, -- in the order in which the attempts ended
  delivery_id INTEGER NOT NULL REFERENCES destination_deliveries (id) ON DELETE CASCADE, -- delivery of the attempt
  at          TEXT NOT NULL,       -- end of the attempt
  to_status   TEXT NOT NULL,       -- status of the delivery after the attempt
  attempt     INTEGER NOT NULL,    -- number of the attempt
  worker      TEXT,                -- hostname:pid of the process that made the attempt
  duration_ms INTEGER,             -- duration of the attempt; NULL if nothing ran
  error       TEXT                 -- why the attempt did not deliver the event
) STRICT;
CREATE INDEX destination_delivery_log_by_delivery ON destination_delivery_log (delivery_id);

CREATE TABLE destinations (
  -- State of each destination, shared by all processes. `novex-ingest destinations list` shows it.
  name                 TEXT PRIMARY KEY,           -- as in config.toml
  paused_at            TEXT,                       -- time when an operator paused it: `novex-ingest destinations pause`
  consecutive_failures INTEGER NOT NULL DEFAULT 0, -- failed attempts since the last success
  down_since           TEXT,                       -- time when the circuit breaker opened; NULL: it is closed
  next_probe_at        TEXT,                       -- no attempt before this; the next one is a single probe
  last_error           TEXT,                       -- why the last attempt failed; NULL after a success, and after a
                                                   -- redaction
  last_error_at        TEXT,                       -- time of that attempt; NULL after a success
  recovered_at         TEXT,                       -- time of the first success after last_error; NULL: none
  last_success_at      TEXT                        -- time of the last delivery
) STRICT;

-- Privacy -------------------------------------------------------------------------------------------------------------

CREATE TABLE redacted_subjects (
  -- Subjects of every redaction (customers/redact, shop/redact), so that an event that arrives later is redacted too.
  shop_domain TEXT NOT NULL,    -- shop of the subject; '' for a tracking code
  kind        TEXT NOT NULL,    -- customer, order, tracking_code or shop
  key         TEXT NOT NULL,    -- number or tracking code; it names no person by itself
  at          TEXT NOT NULL,    -- time of the redaction
  by_event    INTEGER NOT NULL, -- event that requested the redaction
  PRIMARY KEY (shop_domain, kind, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE redactions (
  -- Every completed redaction, in numbers only. Destinations receive the notice in place of the erased body.
  event_id    INTEGER PRIMARY KEY,        -- event that requested the redaction
  at          TEXT NOT NULL,              -- time of the redaction
  shop_domain TEXT NOT NULL,              -- shop that the redaction is about
  notice      TEXT NOT NULL,              -- JSON in the shape of Shopify's body: shop, customer number, order numbers
  late_events INTEGER NOT NULL DEFAULT 0, -- events that arrived later and were redacted too
  scrubbed_at TEXT                        -- time of the scrub; NULL: not yet, see `novex-ingest privacy scrub`
) STRICT;
CREATE INDEX redactions_unscrubbed ON redactions (event_id) WHERE scrubbed_at IS NULL;

CREATE TABLE destructive_requests (
  -- Events that need a decision: every redaction that a worker has looked at, and every other event that was refused
  -- because its body arrived before under another topic. `novex-ingest privacy list` shows them.
  event_id    INTEGER PRIMARY KEY, -- event of the request
  shop_domain TEXT NOT NULL,       -- shop of the event
  topic       TEXT NOT NULL,       -- topic of the event
  body_hash   INTEGER,             -- as in webhook_events; recognises a copy after retention deleted the event
  state       TEXT NOT NULL        -- waiting until due_at; refused and waiting for a decision; stopped or accepted by an
                                   -- operator; done
              CHECK (state IN ('waiting', 'refused', 'stopped', 'accepted', 'done')),
  received_at TEXT NOT NULL,       -- arrival of the event
  due_at      TEXT,                -- time of the work; only while waiting
  deadline_at TEXT,                -- end of Shopify's time limit for a redaction
  reason      TEXT,                -- why it was refused, or why an operator stopped it
  decided_by  TEXT,                -- operator who stopped or accepted it: user@host
  decided_at  TEXT                 -- time of that decision
) STRICT;
CREATE INDEX destructive_requests_by_hash ON destructive_requests (body_hash);
CREATE INDEX destructive_requests_by_state ON destructive_requests (state);

CREATE TABLE data_requests (
  -- Requests of customers for their data (customers/data_request). `novex-ingest privacy export ID` collects the
  -- answer.
  id           INTEGER PRIMARY KEY,     -- in the order of arrival
  event_id     INTEGER NOT NULL UNIQUE, -- event of the request
  shop_domain  TEXT NOT NULL,           -- shop of the customer
  request_id   INTEGER,                 -- Shopify's number of the request
  customer_id  INTEGER,                 -- as in customers
  orders       TEXT NOT NULL,           -- JSON: numbers of the requested orders
  requested_at TEXT NOT NULL,           -- time of the request
  due_at       TEXT NOT NULL,           -- deadline of the answer
  done_at      TEXT                     -- time when an operator marked it as answered; NULL: open
) STRICT;

-- Views for operators -------------------------------------------------------------------------------------------------

CREATE VIEW queue AS
  -- Unfinished events: those in process, then the others by due time. destination_queue lists the deliveries.
  SELECT * FROM (
    SELECT id, source, topic, shop_domain, webhook_id, status, attempts || ' of ' || max_attempts AS attempts,
           'leased by ' || locked_by || ' until ' || lease_expires_at AS due, received_at, last_error
      FROM webhook_events WHERE status = 'processing' ORDER BY lease_expires_at)
  UNION ALL
  SELECT * FROM (
    SELECT id, source, topic, shop_domain, webhook_id, status, attempts || ' of ' || max_attempts AS attempts,
           CASE WHEN next_attempt_at <= strftime('%Y-%m-%dT%H:%M:%fZ', 'now') THEN 'now'
                ELSE next_attempt_at || ', in '
                     || CAST(round((julianday(next_attempt_at) - julianday('now')) * 86400) AS INTEGER) || ' s' END AS due,
           received_at, last_error
      FROM webhook_events WHERE status = 'received' ORDER BY next_attempt_at, id);

CREATE VIEW failures AS
  -- Events that failed for good and were not dismissed, newest first, without test events. `novex-ingest events retry
  -- ID` gives an event new attempts, `events dismiss ID --reason TEXT` takes it out of this view.
  SELECT id, source, topic, shop_domain, webhook_id, attempts, completed_at AS failed_at, last_error AS error, received_at
    FROM webhook_events WHERE status = 'failed' AND dismissed_at IS NULL AND test = 0 ORDER BY id DESC;

CREATE VIEW destination_queue AS
  -- Unfinished deliveries and the reason of their wait, by destination and in order of delivery.
  SELECT d.destination, d.event_id, e.source, e.topic, d.ordering_key, d.status,
         d.attempts || ' of ' || d.max_attempts AS attempts,
         CASE WHEN d.status = 'delivering' THEN 'leased by ' || d.locked_by || ' until ' || d.lease_expires_at
              WHEN s.paused_at IS NOT NULL THEN 'paused by hand'
              WHEN s.next_probe_at > strftime('%Y-%m-%dT%H:%M:%fZ', 'now')
              THEN 'the destination is down until ' || s.next_probe_at
              WHEN d.next_attempt_at <= strftime('%Y-%m-%dT%H:%M:%fZ', 'now') THEN 'now'
              ELSE d.next_attempt_at END AS due, d.last_error
    FROM destination_deliveries d JOIN webhook_events e ON e.id = d.event_id
    LEFT JOIN destinations s ON s.name = d.destination
   WHERE d.status IN ('pending', 'delivering') ORDER BY d.destination, d.event_id;

CREATE VIEW destination_failures AS
  -- Deliveries that failed for good and were not dismissed, newest first. `novex-ingest events retry ID` gives a
  -- delivery new attempts, `events dismiss ID --reason TEXT` takes it out of this view.
  SELECT d.event_id, d.destination, e.source, e.topic, d.attempts, d.finished_at AS failed_at, d.last_error AS error
    FROM destination_deliveries d JOIN webhook_events e ON e.id = d.event_id
   WHERE d.status = 'failed' AND d.dismissed_at IS NULL ORDER BY d.id DESC;

CREATE VIEW event_history AS
  -- Status changes of each event: SELECT * FROM event_history WHERE event_id = 17;
  SELECT l.event_id, e.source, e.topic, e.webhook_id, l.at,
         coalesce(l.from_status || ' → ', '') || l.to_status AS transition, l.attempt, l.worker, l.duration_ms, l.error
    FROM webhook_event_log l JOIN webhook_events e ON e.id = l.event_id ORDER BY l.event_id, l.id;

CREATE VIEW throughput_by_hour AS
  -- Numbers of received, completed, failed and retried events by hour (UTC), newest first.
  SELECT hour || ':00Z' AS hour, source, received, completed, failed, retried
    FROM event_counts_by_hour ORDER BY hour DESC, source;

CREATE VIEW conflicts AS
  -- Requests that repeated a webhook_id and topic with other bytes, newest first. Nothing was overwritten: compare the
  -- two bodies.
  SELECT c.id, c.at, c.event_id, e.source, e.topic, e.webhook_id,
         length(p.body) AS first_bytes, length(c.body) AS second_bytes, c.body_sha256 AS second_sha256
    FROM webhook_conflicts c JOIN webhook_events e ON e.id = c.event_id JOIN webhook_payloads p ON p.event_id = e.id
   ORDER BY c.id DESC;

-- Access --------------------------------------------------------------------------------------------------------------

CREATE TABLE console_users (
  -- People who sign in to the console. `novex-ingest users` changes them.
  id            INTEGER PRIMARY KEY, -- in the order of creation
  name          TEXT NOT NULL UNIQUE COLLATE NOCASE, -- as the person enters it
  role          TEXT NOT NULL CHECK (role IN ('viewer', 'operator', 'admin')), -- rights; each role has those before it
  password_hash TEXT,          -- Argon2id as a PHC string; NULL: nobody can sign in with this name
  created_at    TEXT NOT NULL, -- when the user was added
  changed_at    TEXT NOT NULL, -- last change of the role or the password
  last_login_at TEXT,          -- last successful sign-in; NULL: none yet
  totp_secret   BLOB,          -- key of the one-time codes (RFC 6238), as sensitive as a password; NULL: the user enters
                               -- no codes
  totp_confirmed_at TEXT,      -- when the user proved the key with a first code
  totp_last_step INTEGER       -- time step of the last used code; this code and earlier ones are refused
) STRICT;

CREATE TABLE console_sessions (
  -- Sign-ins to the console. A row ends at expires_at, or when its user has been idle too long.
  token_hash   BLOB PRIMARY KEY,                     -- SHA-256 of the token in the browser's cookie
  user_id      INTEGER REFERENCES console_users ON DELETE CASCADE, -- whose session it is; NULL: of a person whom the
                                                     -- OIDC provider named
  csrf_token   TEXT NOT NULL,                        -- random; each form of the session has it
  created_at   TEXT NOT NULL,                        -- sign-in
  last_seen_at TEXT NOT NULL,                        -- last request, to the minute
  expires_at   TEXT NOT NULL,                        -- end, whatever the user does
  address      TEXT,                                 -- address of the browser at the sign-in
  oidc_subject TEXT,                                 -- id of the person at the OIDC provider; NULL: a user of console_users
  oidc_name    TEXT,                                 -- name of that person
  oidc_role    TEXT CHECK (oidc_role IN ('viewer', 'operator', 'admin')), -- rights of that person
  CHECK ((user_id IS NULL) = (oidc_subject IS NOT NULL AND oidc_name IS NOT NULL AND oidc_role IS NOT NULL))
) STRICT, WITHOUT ROWID;

CREATE TABLE api_tokens (
  -- Tokens of programs for /api/v1 and /metrics. `novex-ingest tokens` changes them.
  id           INTEGER PRIMARY KEY,  -- in the order of creation
  name         TEXT NOT NULL,        -- what the token is for
  scopes       TEXT NOT NULL,        -- read, write and metrics, separated by spaces
  token_hash   BLOB NOT NULL UNIQUE, -- SHA-256 of the token
  created_at   TEXT NOT NULL,        -- when the token was created
  created_by   TEXT NOT NULL,        -- operator: user@host
  last_used_at TEXT,                 -- to the hour; NULL: never
  revoked_at   TEXT                  -- a revoked token proves nothing; NULL: valid
) STRICT;

-- Audit trail ---------------------------------------------------------------------------------------------------------

CREATE TABLE system_log (
  -- Sign-ins and admin actions at Keycloak, and dismissals by operators. Rows are only added; triggers refuse every
  -- other change. The hash of each row covers the row before, so that a change past the triggers shows.
  -- `novex-ingest audit verify` checks the chain.
  id            INTEGER PRIMARY KEY,     -- 1, 2, 3 … without a gap
  event_id      INTEGER,                 -- event of the entry; the number stays when the event is pruned; NULL: an
                                         -- operator's action, which resource_path names; a list of events has one
                                         -- row for each, in its order
  at            TEXT NOT NULL,           -- time of the event, by Keycloak's clock
  type          TEXT NOT NULL,           -- LOGIN, LOGIN_ERROR, LOGOUT …; of an admin action USER-CREATE, CLIENT-UPDATE
                                         -- …, or the operation alone; of an operator EVENT-DISMISS, EVENT-STOP,
                                         -- EVENT-RUN
  realm         TEXT,                    -- name of the realm, or its id if the event has no name
  user_id       TEXT,                    -- user, by Keycloak's id
  username      TEXT,                    -- user, by name; of an operator user@host
  client_id     TEXT,                    -- application
  ip_address    TEXT,                    -- address of the client
  session_id    TEXT,                    -- session
  operation     TEXT,                    -- of an admin action: CREATE, UPDATE, DELETE, ACTION; of an operator DISMISS,
                                         -- STOP, RUN
  resource      TEXT,                    -- of an admin action: USER, CLIENT, REALM_ROLE …, NULL if the event states
                                         -- none; of an operator EVENT
  resource_path TEXT,                    -- of an admin action: users/d0c1b2a3-…; of an operator events/17 or
                                         -- events/17/destinations/erp
  result        TEXT NOT NULL CHECK (result IN ('ok', 'error')), -- ok or error
  error         TEXT,                    -- reason of the error: invalid_user_credentials …
  details       TEXT,                    -- JSON: details of the event, and `other_fields` that no column takes; the
                                         -- body has the values that an admin wrote
  prev_hash     TEXT NOT NULL,           -- hash of the row before; 64 zeros for the first
  hash          TEXT NOT NULL            -- SHA-256 over prev_hash and the columns above, see
                                         -- src/store/audit/system_log.rs
) STRICT;
CREATE INDEX system_log_by_event ON system_log (event_id) WHERE event_id IS NOT NULL;
CREATE INDEX system_log_login_errors_by_user ON system_log (lower(coalesce(username, user_id)), at)
  WHERE type = 'LOGIN_ERROR';
CREATE INDEX system_log_login_errors_by_address ON system_log (ip_address, at) WHERE type = 'LOGIN_ERROR';

CREATE TABLE system_log_truncations (
  -- Truncations of system_log, and the operator of each. The remaining rows start from the hash of the last deleted
  -- row.
  id            INTEGER PRIMARY KEY, -- in the order of the truncations
  at            TEXT NOT NULL,       -- time of the truncation
  signed_off_by TEXT NOT NULL,       -- operator: user@host
  rows          INTEGER NOT NULL,    -- number of deleted rows
  last_id       INTEGER NOT NULL,    -- last deleted row
  last_hash     TEXT NOT NULL,       -- hash of that row
  hash          TEXT NOT NULL        -- SHA-256 over the truncation before and the columns above, see
                                     -- src/store/audit/system_log.rs
) STRICT;

CREATE TRIGGER system_log_refuse_update BEFORE UPDATE ON system_log BEGIN
  SELECT RAISE(ABORT, 'system_log is an audit trail: rows never change');
END;
CREATE TRIGGER system_log_refuse_delete BEFORE DELETE ON system_log
  WHEN OLD.id > (SELECT coalesce(max(last_id), 0) FROM system_log_truncations) BEGIN
  SELECT RAISE(ABORT, 'system_log is an audit trail: only novex-ingest audit truncate deletes rows');
END;
CREATE TRIGGER system_log_append_only BEFORE INSERT ON system_log
  WHEN NEW.id <> 1 + coalesce((SELECT max(id) FROM system_log), (SELECT max(last_id) FROM system_log_truncations), 0) BEGIN
  SELECT RAISE(ABORT, 'system_log is an audit trail: a new row follows the last one');
END;
-- The rows of one event follow each other, because one transaction adds them.
CREATE TRIGGER system_log_event_unique BEFORE INSERT ON system_log
  WHEN NEW.event_id IS NOT (SELECT event_id FROM system_log ORDER BY id DESC LIMIT 1)
    AND EXISTS (SELECT 1 FROM system_log WHERE event_id = NEW.event_id) BEGIN
  SELECT RAISE(ABORT, 'system_log is an audit trail: it has the rows of this event');
END;
CREATE TRIGGER system_log_truncations_fit BEFORE INSERT ON system_log_truncations
  WHEN NEW.last_id <= (SELECT coalesce(max(last_id), 0) FROM system_log_truncations)
    OR NEW.rows IS NOT (SELECT count(*) FROM system_log WHERE id <= NEW.last_id)
    OR NEW.last_hash IS NOT (SELECT hash FROM system_log WHERE id = NEW.last_id) BEGIN
  SELECT RAISE(ABORT, 'system_log_truncations is part of the audit trail: this truncation does not match system_log');
END;
CREATE TRIGGER system_log_truncations_refuse_update BEFORE UPDATE ON system_log_truncations BEGIN
  SELECT RAISE(ABORT, 'system_log_truncations is part of the audit trail: rows never change');
END;
CREATE TRIGGER system_log_truncations_refuse_delete BEFORE DELETE ON system_log_truncations BEGIN
  SELECT RAISE(ABORT, 'system_log_truncations is part of the audit trail: rows are never deleted');
END;

CREATE TABLE alerts (
  -- Conditions that a person should know about, such as failed events or a destination that is down. One row is one
  -- condition from its begin to its end. `novex-ingest alerts list` shows them.
  id       INTEGER PRIMARY KEY, -- in the order in which the alerts were raised
  kind     TEXT NOT NULL,       -- condition: failed_events, source_silent … (docs/alerts.md lists all of them)
  subject  TEXT NOT NULL,       -- source, destination, user, address … with the condition; '' for the whole machine
  first_at TEXT NOT NULL,       -- time when the condition began, or the threshold was exceeded
  last_at  TEXT NOT NULL,       -- time of the last failed login; of other conditions: of the last message
  count    INTEGER NOT NULL,    -- failed logins until now; 1 for other conditions
  message  TEXT NOT NULL,       -- fact and consequence, as of last_at
  fix      TEXT NOT NULL DEFAULT '', -- next step of a person, with its command; '': the message has it
  notified_at      TEXT,        -- time of the last message about it to the channels; NULL: none yet
  recovered_at     TEXT,        -- end of the condition; NULL: it holds
  dismissed_at     TEXT,        -- time of a dismissal by a person; another failed login of the series ends it
  dismissed_by     TEXT,        -- person
  dismissed_reason TEXT         -- reason
) STRICT;
CREATE INDEX alerts_by_subject ON alerts (kind, subject, last_at);
CREATE UNIQUE INDEX alerts_open ON alerts (kind, subject) WHERE recovered_at IS NULL;

CREATE TABLE alert_messages (
  -- The messages about each alert. A message is an event of the source local; destination_deliveries shows which
  -- channel has it.
  alert_id INTEGER NOT NULL REFERENCES alerts (id) ON DELETE CASCADE, -- alert of the message
  event_id INTEGER NOT NULL,  -- event of the message; the number stays when the event is pruned
  at       TEXT NOT NULL,     -- time of the message
  state    TEXT NOT NULL      -- state that it reports
           CHECK (state IN ('opened', 'repeated', 'recovered')),
  PRIMARY KEY (alert_id, event_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX alert_messages_by_time ON alert_messages (at);

-- Shopify -------------------------------------------------------------------------------------------------------------
--
-- ERP tables are projections of events. A column holds the value of the newest event that states it, whatever order the
-- events arrive in (row_version, column_versions). A child may be here before its parent and joins it by its number.

CREATE TABLE sales_orders (
  -- An order at Shopify. Amounts are in `currency`, as Shopify wrote them. A redaction clears the customer's data.
  shop_domain          TEXT NOT NULL,    -- shop
  order_id             INTEGER NOT NULL, -- Shopify's number
  name                 TEXT,             -- number that people see: #1001
  name_key             TEXT GENERATED ALWAYS AS -- name, as names of orders are compared
                         (nullif(upper(replace(replace(name, ' ', ''), '#', '')), '')),
  currency             TEXT,             -- ISO 4217, of all amounts of the order
  presentment_currency TEXT,             -- currency that the customer paid in
  total                TEXT,             -- total_price: as ordered. It is total_items − total_discounts + total_shipping
                                         -- + total_tip + total_duties + total_additional_fees, and + total_tax unless
                                         -- taxes_included; a total in cash also has cash_rounding
  current_total        TEXT,             -- current_total_price: after edits, refunds and removals
  presentment_total    TEXT,             -- total, in presentment_currency
  presentment_current_total TEXT,        -- current_total, in presentment_currency
  subtotal             TEXT,             -- subtotal_price: the lines less discounts, before tax and shipping
  total_items          TEXT,             -- total_line_items_price: the lines before discounts
  total_tax            TEXT,             -- all taxes together
  total_discounts      TEXT,             -- all discounts together, on lines and on shipping
  total_shipping       TEXT,             -- all shipping lines together, before discounts
  total_tip            TEXT,             -- tip
  total_duties         TEXT,             -- duties, as ordered
  total_additional_fees TEXT,            -- additional fees, as ordered
  cash_rounding        TEXT,             -- rounding of payments in cash
  refund_cash_rounding TEXT,             -- rounding of refunds in cash
  current_subtotal     TEXT,             -- subtotal after edits, refunds and removals, and so the next ones
  current_tax          TEXT,             -- taxes that are left
  current_discounts    TEXT,             -- discounts that are left
  current_shipping     TEXT,             -- shipping that is left, after discounts
  current_duties       TEXT,             -- duties that are left
  current_additional_fees TEXT,          -- additional fees that are left
  total_outstanding    TEXT,             -- amount not paid yet
  taxes_included       INTEGER,          -- 1: prices include tax
  duties_included      INTEGER,          -- 1: prices include duties
  financial_status     TEXT,             -- pending, authorized, paid, refunded …
  fulfillment_status   TEXT,             -- NULL: nothing shipped; partial, fulfilled …
  po_number            TEXT,             -- purchase order number of the buyer, if there is one
  customer_id          INTEGER,          -- as in customers
  email                TEXT,             -- address of the customer for this order
  phone                TEXT,             -- phone of the customer for this order
  note                 TEXT,             -- note of the customer or the merchant
  note_attributes      TEXT,             -- JSON: [{"name", "value"}, …], such as the day of delivery that a customer chose
  payment_terms        TEXT,             -- JSON: name, days and dates of an order on account; NULL: paid at once
  company              TEXT,             -- JSON: id and location_id of a business customer (B2B)
  tags                 TEXT,             -- separated by commas
  source_name          TEXT,             -- web, pos, name of an app …
  location_id          INTEGER,          -- location where it was placed or is fulfilled, if the order names one
  total_weight         INTEGER,          -- grams
  test                 INTEGER,          -- 1: a test order; do not ship it
  cancel_reason        TEXT,             -- customer, fraud, inventory, declined, other
  created_at           TEXT,             -- time when the order was placed
  processed_at         TEXT,             -- time that counts as placed; an import sets it back
  updated_at           TEXT,             -- last change at the provider
  cancelled_at         TEXT,             -- cancellation; NULL: not cancelled
  closed_at            TEXT,             -- closing; NULL: open
  deleted_at           TEXT,             -- deletion at the provider; final
  attention            TEXT,             -- why a person must look: the parts of a total are not the total, with both
                                         -- figures; NULL: they are
  extras               TEXT,             -- JSON: fields of the body that no column takes
  row_version          TEXT NOT NULL,    -- version of the newest event
  column_versions      TEXT,             -- versions of the columns that it left out
  event_id             INTEGER NOT NULL, -- the newest event
  PRIMARY KEY (shop_domain, order_id)
) STRICT;

CREATE TABLE sales_order_lines (
  -- Lines of a sales order. Amounts are in the currency of the order.
  shop_domain          TEXT NOT NULL,    -- shop
  order_id             INTEGER NOT NULL, -- as in sales_orders
  line_id              INTEGER NOT NULL, -- Shopify's number
  position             INTEGER NOT NULL, -- 1, 2, 3 …
  sku                  TEXT,             -- item number of the seller
  sku_key              TEXT GENERATED ALWAYS AS (upper(replace(sku, ' ', '-'))), -- sku, as SKUs are compared
  product_id           INTEGER,          -- NULL: a custom line without a product
  variant_id           INTEGER,          -- size, flavour or case of the product
  title                TEXT,             -- name of the product at the time of the order
  variant_title        TEXT,             -- name of the variant at the time of the order
  vendor               TEXT,             -- vendor of the product
  quantity             INTEGER NOT NULL, -- units ordered
  current_quantity     INTEGER,          -- units left after edits, refunds and removals
  fulfillable_quantity INTEGER,          -- units not shipped yet
  fulfillment_status   TEXT,             -- NULL, partial or fulfilled
  price                TEXT,             -- price of one unit
  total_discount       TEXT,             -- discount on the line
  grams                INTEGER,          -- weight of one unit
  requires_shipping    INTEGER,          -- 0: nothing to ship
  taxable              INTEGER,          -- 0: free of tax
  gift_card            INTEGER,          -- 1: a gift card
  properties           TEXT,             -- JSON: values that the customer chose or wrote for the line
  duties               TEXT,             -- JSON: duties on the line
  extras               TEXT,             -- JSON: fields of the body that no column takes
  item                 TEXT,             -- the ERP's item by shopify_product_mappings; NULL: not mapped, see
                                         -- unmapped_lines
  item_quantity        TEXT,             -- current_quantity in the ERP's unit, by the mapping's factor; exact decimal
                                         -- text; quantity, if Shopify states no current_quantity
  item_quantity_ordered TEXT,            -- quantity in the ERP's unit
  item_quantity_open   TEXT,             -- fulfillable_quantity in the ERP's unit
  PRIMARY KEY (shop_domain, order_id, line_id)
) STRICT;

CREATE TABLE sales_order_addresses (
  -- Shipping and billing address of a sales order.
  shop_domain   TEXT NOT NULL,    -- shop
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
  extras        TEXT,             -- JSON: fields of the body that no column takes
  PRIMARY KEY (shop_domain, order_id, kind)
) STRICT;

CREATE TABLE sales_order_taxes (
  -- Taxes of a sales order: on its lines, on its shipping lines, and their sum. In the currency of the order.
  shop_domain TEXT NOT NULL,    -- shop
  order_id    INTEGER NOT NULL, -- as in sales_orders
  position    INTEGER NOT NULL, -- 1, 2, 3 … in the scope
  scope       TEXT NOT NULL,    -- order, line or shipping
  line_id     INTEGER,          -- line or shipping line of the tax; NULL: the order
  title       TEXT,             -- name of the tax
  rate        TEXT,             -- 0.08 is 8 %
  price       TEXT,             -- amount of the tax
  extras      TEXT,             -- JSON: fields of the body that no column takes
  PRIMARY KEY (shop_domain, order_id, scope, position)
) STRICT;

CREATE TABLE sales_order_discounts (
  -- Discounts of a sales order: codes that the customer entered, discounts that Shopify applied, and the share of each
  -- line. Amounts are in the currency of the order.
  shop_domain TEXT NOT NULL,    -- shop
  order_id    INTEGER NOT NULL, -- as in sales_orders
  position    INTEGER NOT NULL, -- 1, 2, 3 … in the scope
  scope       TEXT NOT NULL,    -- code, application, line or shipping
  line_id     INTEGER,          -- line or shipping line of the discount; NULL: the order
  code        TEXT,             -- code that the customer entered
  title       TEXT,             -- name of the discount
  type        TEXT,             -- in Shopify's words: percentage, fixed_amount, automatic, manual …
  value       TEXT,             -- percentage or amount, by value_type
  value_type  TEXT,             -- percentage or fixed_amount
  target_type TEXT,             -- line_item or shipping_line
  target_selection  TEXT,       -- all, entitled or explicit
  allocation_method TEXT,       -- across, each or one
  amount      TEXT,             -- amount of the discount
  extras      TEXT,             -- JSON: fields of the body that no column takes
  PRIMARY KEY (shop_domain, order_id, scope, position)
) STRICT;

CREATE TABLE sales_order_shipping_lines (
  -- Shipping methods and their prices on a sales order, in the currency of the order.
  shop_domain      TEXT NOT NULL,    -- shop
  order_id         INTEGER NOT NULL, -- as in sales_orders
  position         INTEGER NOT NULL, -- 1, 2, 3 …
  line_id          INTEGER,          -- Shopify's number; NULL: an import or app gave none
  title            TEXT,             -- method that the customer chose
  code             TEXT,             -- code of the rate
  source           TEXT,             -- origin of the rate
  carrier          TEXT,             -- carrier_identifier
  price            TEXT,             -- before discounts
  discounted_price TEXT,             -- after discounts
  is_removed       INTEGER,          -- 1: an edit removed it
  extras           TEXT,             -- JSON: fields of the body that no column takes
  PRIMARY KEY (shop_domain, order_id, position)
) STRICT;

CREATE TABLE sales_order_edits (
  -- A change of an order after it was placed (orders/edited). The next update of the order has the result.
  shop_domain     TEXT NOT NULL,    -- shop
  edit_id         INTEGER NOT NULL, -- Shopify's number
  order_id        INTEGER,          -- as in sales_orders
  staff_note      TEXT,             -- reason
  user_id         INTEGER,          -- user who edited, by Shopify's number
  app_id          INTEGER,          -- app that edited, by Shopify's number
  created_at      TEXT,             -- start of the edit
  committed_at    TEXT,             -- time when the edit took effect
  extras          TEXT,             -- JSON: fields of the body that no column takes
  row_version     TEXT NOT NULL,    -- version of the newest event
  column_versions TEXT,             -- versions of the columns that it left out
  event_id        INTEGER NOT NULL, -- the newest event
  PRIMARY KEY (shop_domain, edit_id)
) STRICT;

CREATE TABLE sales_order_edit_lines (
  -- Lines that an edit added to its order or removed from it.
  shop_domain TEXT NOT NULL,    -- shop
  edit_id     INTEGER NOT NULL, -- as in sales_order_edits
  line_id     INTEGER NOT NULL, -- as in sales_order_lines
  change      TEXT NOT NULL,    -- added or removed
  quantity    INTEGER,          -- units
  extras      TEXT,             -- JSON: fields of the body that no column takes
  PRIMARY KEY (shop_domain, edit_id, line_id, change)
) STRICT;

CREATE TABLE order_transactions (
  -- A payment step of an order: authorization, sale, capture, refund, void.
  shop_domain     TEXT NOT NULL,    -- shop
  transaction_id  INTEGER NOT NULL, -- Shopify's number
  order_id        INTEGER,          -- as in sales_orders; may be here before its order
  parent_id       INTEGER,          -- the transaction before, such as the authorization of a capture
  refund_id       INTEGER,          -- as in refunds, if a refund named it; NULL: no refund, or not known yet
  kind            TEXT,             -- authorization, sale, capture, refund, void
  status          TEXT,             -- success, pending, failure, error
  gateway         TEXT,             -- payment gateway
  amount          TEXT,             -- amount, in currency
  currency        TEXT,             -- ISO 4217; NULL: the shop's
  shop_amount     TEXT,             -- amount in the shop's currency; NULL: no event stated it
  presentment_amount TEXT,          -- amount in the currency that the customer paid in; NULL: no event stated it
  test            INTEGER,          -- 1: no real money
  error_code      TEXT,             -- reason of the failure
  created_at      TEXT,             -- creation at the provider
  processed_at    TEXT,             -- time when it took effect
  extras          TEXT,             -- JSON: fields of the body that no column takes
  row_version     TEXT NOT NULL,    -- version of the newest event
  column_versions TEXT,             -- versions of the columns that it left out
  event_id        INTEGER NOT NULL, -- the newest event
  PRIMARY KEY (shop_domain, transaction_id)
) STRICT;

CREATE TABLE refunds (
  -- A refund of an order: money, goods or both. total is what was given back. It is items + shipping + duties +
  -- additional_fees + adjustment, and + tax unless taxes_included; otherwise attention names both figures.
  shop_domain     TEXT NOT NULL,    -- shop
  refund_id       INTEGER NOT NULL, -- Shopify's number
  order_id        INTEGER,          -- as in sales_orders; may be here before its order
  total           TEXT,             -- sum of the transactions that gave money back; NULL: not known in this currency
  currency        TEXT,             -- ISO 4217, of all amounts without a name of their own: the shop's
  presentment_total TEXT,           -- total, in presentment_currency
  presentment_currency TEXT,        -- currency that the customer paid in
  pending         TEXT,             -- amount that the payment provider still has to give back; not part of total
  items           TEXT,             -- lines, see refund_lines
  shipping        TEXT,             -- shipping
  duties          TEXT,             -- duties
  additional_fees TEXT,             -- additional fees
  tax             TEXT,             -- taxes of all parts
  adjustment      TEXT,             -- difference to what was due; negative: less was given back
  taxes_included  INTEGER,          -- 1: the amounts include tax
  note            TEXT,             -- reason
  restock         INTEGER,          -- 1: the goods go back into stock
  user_id         INTEGER,          -- user who refunded, by Shopify's number
  return_id       INTEGER,          -- as in returns
  created_at      TEXT,             -- creation at the provider
  processed_at    TEXT,             -- time when it took effect
  attention       TEXT,             -- why a person must look: the parts are not what was given back, with both figures;
                                    -- NULL: they are, or no money was due
  extras          TEXT,             -- JSON: fields of the body that no column takes
  row_version     TEXT NOT NULL,    -- version of the newest event
  column_versions TEXT,             -- versions of the columns that it left out
  event_id        INTEGER NOT NULL, -- the newest event
  PRIMARY KEY (shop_domain, refund_id)
) STRICT;

CREATE TABLE refund_lines (
  -- Lines of a refund. Amounts are in the currency of the refund.
  shop_domain    TEXT NOT NULL,    -- shop
  refund_id      INTEGER NOT NULL, -- as in refunds
  position       INTEGER NOT NULL, -- 1, 2, 3 …
  refund_line_id INTEGER,          -- Shopify's number
  line_id        INTEGER,          -- as in sales_order_lines
  quantity       INTEGER,          -- units refunded
  restock_type   TEXT,             -- no_restock, cancel, return, legacy_restock
  location_id    INTEGER,          -- location that restocks the goods
  subtotal       TEXT,             -- amount before tax
  total_tax      TEXT,             -- tax of the amount
  presentment_subtotal  TEXT,      -- subtotal, in the currency that the customer paid in
  presentment_total_tax TEXT,      -- total_tax, in the currency that the customer paid in
  extras                TEXT,      -- JSON: fields of the body that no column takes
  PRIMARY KEY (shop_domain, refund_id, position)
) STRICT;

CREATE TABLE refund_parts (
  -- Parts of a refund beside its lines: shipping, duties, additional fees, and adjustments as Shopify states them.
  shop_domain            TEXT NOT NULL,    -- shop
  refund_id              INTEGER NOT NULL, -- as in refunds
  scope                  TEXT NOT NULL,    -- adjustment, shipping, duty or fee
  position               INTEGER NOT NULL, -- 1, 2, 3 … in the scope
  part_id                INTEGER,          -- Shopify's number
  line_id                INTEGER,          -- of shipping: as in sales_order_shipping_lines
  kind                   TEXT,             -- of an adjustment: shipping_refund, which repeats the shipping with a minus
                                           -- sign, or refund_discrepancy; of a duty: FULL, PROPORTIONAL
  reason                 TEXT,             -- reason of an adjustment
  title                  TEXT,             -- name of the shipping method or fee
  amount                 TEXT,             -- amount before tax
  tax_amount             TEXT,             -- tax of the amount
  presentment_amount     TEXT,             -- amount, in the currency that the customer paid in
  presentment_tax_amount TEXT,             -- tax_amount, in the currency that the customer paid in
  extras                 TEXT,             -- JSON: fields of the body that no column takes
  PRIMARY KEY (shop_domain, refund_id, scope, position)
) STRICT;

CREATE TABLE fulfillments (
  -- A package or delivery that left for the customer, as Shopify states it.
  shop_domain      TEXT NOT NULL,    -- shop
  fulfillment_id   INTEGER NOT NULL, -- Shopify's number
  order_id         INTEGER,          -- as in sales_orders; may be here before its order
  name             TEXT,             -- #1001.1
  status           TEXT,             -- pending, open, success, cancelled, error, failure
  shipment_status  TEXT,             -- confirmed, in_transit, delivered …
  service          TEXT,             -- fulfillment service: manual or a name
  location_id      INTEGER,          -- location that shipped
  tracking_company TEXT,             -- carrier
  created_at       TEXT,             -- creation at the provider
  updated_at       TEXT,             -- last change at the provider
  extras           TEXT,             -- JSON: fields of the body that no column takes
  row_version      TEXT NOT NULL,    -- version of the newest event
  column_versions  TEXT,             -- versions of the columns that it left out
  event_id         INTEGER NOT NULL, -- the newest event
  PRIMARY KEY (shop_domain, fulfillment_id)
) STRICT;

CREATE TABLE fulfillment_lines (
  -- Lines of a fulfillment.
  shop_domain    TEXT NOT NULL,    -- shop
  fulfillment_id INTEGER NOT NULL, -- as in fulfillments
  line_id        INTEGER NOT NULL, -- as in sales_order_lines
  sku            TEXT,             -- as on the order
  quantity       INTEGER,          -- units in the package
  extras         TEXT,             -- JSON: fields of the body that no column takes
  PRIMARY KEY (shop_domain, fulfillment_id, line_id)
) STRICT;

CREATE TABLE fulfillment_tracking_numbers (
  -- Tracking numbers of a fulfillment, one for each box. Shipments find their order by them.
  shop_domain    TEXT NOT NULL,    -- shop
  fulfillment_id INTEGER NOT NULL, -- as in fulfillments
  position       INTEGER NOT NULL, -- 1, 2, 3 …
  number         TEXT NOT NULL,    -- tracking code of the carrier, as a person wrote it; '': Shopify stated an address
                                   -- that belongs to no code
  written        TEXT,             -- the whole field, if it has other words or codes beside this code
  number_key     TEXT GENERATED ALWAYS AS -- number, as tracking codes are compared
                         (nullif(CASE
                           WHEN upper(replace(replace(replace(replace(replace(number, ' ', ''), '-', ''), '.', ''), '#', ''), '_', '')) NOT GLOB '420[0-9]*' OR upper(replace(replace(replace(replace(replace(number, ' ', ''), '-', ''), '.', ''), '#', ''), '_', '')) GLOB '*[^0-9]*' THEN upper(replace(replace(replace(replace(replace(number, ' ', ''), '-', ''), '.', ''), '#', ''), '_', ''))
                           ELSE substr(upper(replace(replace(replace(replace(replace(number, ' ', ''), '-', ''), '.', ''), '#', ''), '_', '')), CASE length(upper(replace(replace(replace(replace(replace(number, ' ', ''), '-', ''), '.', ''), '#', ''), '_', ''))) WHEN 28 THEN 9 WHEN 30 THEN 9 WHEN 38 THEN 13 WHEN 34
                             THEN iif(substr(upper(replace(replace(replace(replace(replace(number, ' ', ''), '-', ''), '.', ''), '#', ''), '_', '')), 9, 2) BETWEEN '91' AND '95', 9, 13) ELSE 1 END) END, '')),
  url            TEXT,             -- tracking page for the customer
  PRIMARY KEY (shop_domain, fulfillment_id, position)
) STRICT;

CREATE TABLE fulfillment_events (
  -- A step of a fulfillment on its way, as a carrier or app reported it to Shopify.
  shop_domain           TEXT NOT NULL,    -- shop
  fulfillment_event_id  INTEGER NOT NULL, -- Shopify's number
  fulfillment_id        INTEGER,          -- as in fulfillments
  order_id              INTEGER,          -- as in sales_orders
  status                TEXT,             -- label_printed, in_transit, out_for_delivery, delivered, failure …
  message               TEXT,             -- text of the carrier
  happened_at           TEXT,             -- time of the event
  estimated_delivery_at TEXT,             -- expected delivery
  city                  TEXT,             -- place of the event
  province              TEXT,             -- place of the event
  zip                   TEXT,             -- place of the event
  country               TEXT,             -- place of the event
  created_at            TEXT,             -- creation at the provider
  updated_at            TEXT,             -- last change at the provider
  deleted_at            TEXT,             -- deletion at the provider; final
  extras                TEXT,             -- JSON: fields of the body that no column takes
  row_version           TEXT NOT NULL,    -- version of the newest event
  column_versions       TEXT,             -- versions of the columns that it left out
  event_id              INTEGER NOT NULL, -- the newest event
  PRIMARY KEY (shop_domain, fulfillment_event_id)
) STRICT;

CREATE TABLE fulfillment_orders (
  -- The work to fulfill an order from one location: open, on hold, moved or cancelled. Its events state only what they
  -- change and have no time of their own; the time when Shopify sent them decides which is newer.
  shop_domain          TEXT NOT NULL,    -- shop
  fulfillment_order_id INTEGER NOT NULL, -- Shopify's number
  order_id             INTEGER,          -- as in sales_orders, if an event named it
  status               TEXT,             -- open, in_progress, on_hold, scheduled, cancelled, incomplete, closed
  request_status       TEXT,             -- unsubmitted, submitted, accepted, rejected, cancellation_requested …
  location_id          INTEGER,          -- location that fulfills
  fulfill_at           TEXT,             -- earliest time to fulfill
  fulfill_by           TEXT,             -- latest time to fulfill
  delivery_method      TEXT,             -- shipping, pickup, local …
  message              TEXT,             -- last message of the merchant or the service
  replaced_by          INTEGER,          -- fulfillment order that replaced this one
  split_from           INTEGER,          -- fulfillment order that this one was split or moved from
  last_topic           TEXT,             -- topic of the newest event
  changed_at           TEXT,             -- time of the newest event
  extras               TEXT,             -- JSON: fields of the newest event that has any; `event`: those beside the
                                         -- fulfillment order, such as the split lines
  row_version          TEXT NOT NULL,    -- version of the newest event
  column_versions      TEXT,             -- versions of the columns that it left out
  event_id             INTEGER NOT NULL, -- the newest event
  PRIMARY KEY (shop_domain, fulfillment_order_id)
) STRICT;

CREATE TABLE fulfillment_holds (
  -- A reason why a fulfillment order must wait.
  shop_domain          TEXT NOT NULL,    -- shop
  hold_id              INTEGER NOT NULL, -- Shopify's number
  fulfillment_order_id INTEGER,          -- as in fulfillment_orders
  reason               TEXT,             -- awaiting_payment, inventory_out_of_stock, incorrect_address, other …
  reason_notes         TEXT,             -- text of the reason
  handle               TEXT,             -- the app's own name of the hold
  held_at              TEXT,             -- time of the event that placed the hold
  released_at          TEXT,             -- time of the event fulfillment_holds/released
  extras               TEXT,             -- JSON: fields of the body that no column takes; `event`: those beside the hold
  row_version          TEXT NOT NULL,    -- version of the newest event
  column_versions      TEXT,             -- versions of the columns that it left out
  event_id             INTEGER NOT NULL, -- the newest event
  PRIMARY KEY (shop_domain, hold_id)
) STRICT;

CREATE TABLE returns (
  -- A return of goods by a customer. Its events have no time of their own; the time when Shopify sent them decides
  -- which is newer.
  shop_domain        TEXT NOT NULL,    -- shop
  return_id          INTEGER NOT NULL, -- Shopify's number
  order_id           INTEGER,          -- as in sales_orders; may be here before its order
  name               TEXT,             -- #1001-R1
  status             TEXT,             -- requested, open, closed, declined, canceled
  total_return_lines INTEGER,          -- units to return
  decline_reason     TEXT,             -- reason of the refusal
  decline_note       TEXT,             -- text of the refusal
  last_topic         TEXT,             -- topic of the newest event
  changed_at         TEXT,             -- time of the newest event
  extras             TEXT,             -- JSON: fields of the body that no column takes
  row_version        TEXT NOT NULL,    -- version of the newest event
  column_versions    TEXT,             -- versions of the columns that it left out
  event_id           INTEGER NOT NULL, -- the newest event
  PRIMARY KEY (shop_domain, return_id)
) STRICT;

CREATE TABLE return_lines (
  -- Lines of a return.
  shop_domain    TEXT NOT NULL,    -- shop
  return_id      INTEGER NOT NULL, -- as in returns
  return_line_id INTEGER NOT NULL, -- Shopify's number
  line_id        INTEGER,          -- as in sales_order_lines, if the event named it
  quantity       INTEGER,          -- units
  reason         TEXT,             -- size_too_small, unwanted, defective …
  note           TEXT,             -- note of the customer
  extras         TEXT,             -- JSON: fields of the body that no column takes
  PRIMARY KEY (shop_domain, return_id, return_line_id)
) STRICT;

CREATE TABLE customers (
  -- A customer at Shopify. A redaction deletes the row.
  shop_domain        TEXT NOT NULL,    -- shop
  customer_id        INTEGER NOT NULL, -- Shopify's number
  email              TEXT,             -- email address
  phone              TEXT,             -- phone number
  first_name         TEXT,             -- first name
  last_name          TEXT,             -- last name
  state              TEXT,             -- disabled, invited, enabled, declined
  note               TEXT,             -- note of the merchant
  tags               TEXT,             -- separated by commas
  currency           TEXT,             -- ISO 4217
  tax_exempt         INTEGER,          -- 1: pays no tax
  verified_email     INTEGER,          -- 1: the address is confirmed
  default_address_id INTEGER,          -- as in customer_addresses
  merged_into        INTEGER,          -- customer that this one was merged into
  created_at         TEXT,             -- creation at the provider
  updated_at         TEXT,             -- last change at the provider
  deleted_at         TEXT,             -- deletion at the provider; final
  extras             TEXT,             -- JSON: fields of the body that no column takes
  row_version        TEXT NOT NULL,    -- version of the newest event
  column_versions    TEXT,             -- versions of the columns that it left out
  event_id           INTEGER NOT NULL, -- the newest event
  PRIMARY KEY (shop_domain, customer_id)
) STRICT;

CREATE TABLE customer_addresses (
  -- Addresses of a customer. Shopify states at most the ten newest; the rows of the others stay as they were. A
  -- redaction deletes them.
  shop_domain   TEXT NOT NULL,    -- shop
  customer_id   INTEGER NOT NULL, -- as in customers
  address_id    INTEGER NOT NULL, -- Shopify's number
  position      INTEGER NOT NULL, -- 1, 2, 3 …
  first_name    TEXT,             -- first name
  last_name     TEXT,             -- last name
  company       TEXT,             -- company
  address1      TEXT,             -- street and number
  address2      TEXT,             -- apartment, floor …
  city          TEXT,             -- town
  province      TEXT,             -- state or region, by name
  province_code TEXT,             -- state or region, by code
  zip           TEXT,             -- postal code
  country       TEXT,             -- by name
  country_code  TEXT,             -- ISO 3166, two letters
  phone         TEXT,             -- phone number
  is_default    INTEGER,          -- 1: the default address
  extras        TEXT,             -- JSON: fields of the body that no column takes
  row_version   TEXT NOT NULL,    -- version of the event that stated the row
  PRIMARY KEY (shop_domain, customer_id, address_id)
) STRICT;

CREATE TABLE products (
  -- A product at Shopify.
  shop_domain     TEXT NOT NULL,    -- shop
  product_id      INTEGER NOT NULL, -- Shopify's number
  title           TEXT,             -- name
  handle          TEXT,             -- name in URLs
  vendor          TEXT,             -- manufacturer
  product_type    TEXT,             -- category of the merchant
  status          TEXT,             -- active, draft, archived
  tags            TEXT,             -- separated by commas
  published_at    TEXT,             -- on sale since; NULL: not on sale
  created_at      TEXT,             -- creation at the provider
  updated_at      TEXT,             -- last change at the provider
  deleted_at      TEXT,             -- deletion at the provider; final
  extras          TEXT,             -- JSON: fields of the body that no column takes
  row_version     TEXT NOT NULL,    -- version of the newest event
  column_versions TEXT,             -- versions of the columns that it left out
  event_id        INTEGER NOT NULL, -- the newest event
  PRIMARY KEY (shop_domain, product_id)
) STRICT;

CREATE TABLE product_variants (
  -- A variant of a product that can be ordered: a size, a flavour, a case. Shopify states at most the first 100
  -- variants of a product; the rows of the others stay as they were.
  shop_domain       TEXT NOT NULL,    -- shop
  product_id        INTEGER NOT NULL, -- as in products
  variant_id        INTEGER NOT NULL, -- Shopify's number
  position          INTEGER NOT NULL, -- 1, 2, 3 …
  title             TEXT,             -- name
  sku               TEXT,             -- item number of the seller
  barcode           TEXT,             -- GTIN, UPC, EAN …
  price             TEXT,             -- in the shop's currency
  compare_at_price  TEXT,             -- the price before a reduction
  option1           TEXT,             -- size, flavour …
  option2           TEXT,             -- size, flavour …
  option3           TEXT,             -- size, flavour …
  taxable           INTEGER,          -- 0: free of tax
  inventory_item_id INTEGER,          -- as in inventory_items
  inventory_policy  TEXT,             -- deny or continue: sold when out of stock
  updated_at        TEXT,             -- last change at the provider
  extras            TEXT,             -- JSON: fields of the body that no column takes
  row_version       TEXT NOT NULL,    -- version of the event that stated the row
  PRIMARY KEY (shop_domain, product_id, variant_id)
) STRICT;

CREATE TABLE inventory_items (
  -- The stocked item of a variant.
  shop_domain            TEXT NOT NULL,    -- shop
  inventory_item_id      INTEGER NOT NULL, -- Shopify's number
  sku                    TEXT,             -- item number of the seller
  cost                   TEXT,             -- cost of one unit, in the shop's currency
  tracked                INTEGER,          -- 1: Shopify tracks its quantity
  requires_shipping      INTEGER,          -- 0: nothing to ship
  country_of_origin      TEXT,             -- ISO 3166, two letters
  province_of_origin     TEXT,             -- code
  harmonized_system_code TEXT,             -- customs code
  weight                 TEXT,             -- exact decimal text, in weight_unit
  weight_unit            TEXT,             -- g, kg, oz, lb
  created_at             TEXT,             -- creation at the provider
  updated_at             TEXT,             -- last change at the provider
  deleted_at             TEXT,             -- deletion at the provider; final
  extras                 TEXT,             -- JSON: fields of the body that no column takes
  row_version            TEXT NOT NULL,    -- version of the newest event
  column_versions        TEXT,             -- versions of the columns that it left out
  event_id               INTEGER NOT NULL, -- the newest event
  PRIMARY KEY (shop_domain, inventory_item_id)
) STRICT;

CREATE TABLE inventory_levels (
  -- Quantity of an inventory item at a location.
  shop_domain       TEXT NOT NULL,    -- shop
  inventory_item_id INTEGER NOT NULL, -- as in inventory_items
  location_id       INTEGER NOT NULL, -- as in locations
  available         INTEGER,          -- units; NULL: not tracked
  connected         INTEGER,          -- 0: the location no longer stocks it
  updated_at        TEXT,             -- last change at the provider
  extras            TEXT,             -- JSON: fields of the body that no column takes
  row_version       TEXT NOT NULL,    -- version of the newest event
  column_versions   TEXT,             -- versions of the columns that it left out
  event_id          INTEGER NOT NULL, -- the newest event
  PRIMARY KEY (shop_domain, inventory_item_id, location_id)
) STRICT;

CREATE TABLE locations (
  -- A place that stocks or ships goods.
  shop_domain     TEXT NOT NULL,    -- shop
  location_id     INTEGER NOT NULL, -- Shopify's number
  name            TEXT,             -- name
  active          INTEGER,          -- 0: out of use
  address1        TEXT,             -- street and number
  address2        TEXT,             -- second line
  city            TEXT,             -- town
  province_code   TEXT,             -- state or region
  zip             TEXT,             -- postal code
  country_code    TEXT,             -- ISO 3166, two letters
  phone           TEXT,             -- number
  created_at      TEXT,             -- creation at the provider
  updated_at      TEXT,             -- last change at the provider
  deleted_at      TEXT,             -- deletion at the provider; final
  extras          TEXT,             -- JSON: fields of the body that no column takes
  row_version     TEXT NOT NULL,    -- version of the newest event
  column_versions TEXT,             -- versions of the columns that it left out
  event_id        INTEGER NOT NULL, -- the newest event
  PRIMARY KEY (shop_domain, location_id)
) STRICT;

CREATE TABLE shops (
  -- A shop at Shopify.
  shop_domain         TEXT NOT NULL,    -- x.myshopify.com
  shop_id             INTEGER,          -- Shopify's number
  name                TEXT,             -- name
  email               TEXT,             -- email address of the shop
  currency            TEXT,             -- ISO 4217
  timezone            TEXT,             -- IANA name
  plan_name           TEXT,             -- Shopify plan
  country_code        TEXT,             -- ISO 3166, two letters
  primary_location_id INTEGER,          -- as in locations
  updated_at          TEXT,             -- last change at the provider
  uninstalled_at      TEXT,             -- time when the merchant uninstalled the app; the shop's events end then
  extras              TEXT,             -- JSON: fields of the body that no column takes
  row_version         TEXT NOT NULL,    -- version of the newest event
  column_versions     TEXT,             -- versions of the columns that it left out
  event_id            INTEGER NOT NULL, -- the newest event
  PRIMARY KEY (shop_domain)
) STRICT;

-- EasyPost ------------------------------------------------------------------------------------------------------------

CREATE TABLE shipments (
  -- A package that a carrier moves, as EasyPost's tracker states it. The time of the tracker decides which event is
  -- newer.
  mode              TEXT NOT NULL,    -- production or test
  tracker_id        TEXT NOT NULL,    -- EasyPost's id, trk_…: carriers reuse tracking codes
  tracking_code     TEXT,             -- number of the carrier
  tracking_key      TEXT GENERATED ALWAYS AS -- tracking_code, as tracking codes are compared
                         (nullif(CASE
                           WHEN upper(replace(replace(replace(replace(replace(tracking_code, ' ', ''), '-', ''), '.', ''), '#', ''), '_', '')) NOT GLOB '420[0-9]*' OR upper(replace(replace(replace(replace(replace(tracking_code, ' ', ''), '-', ''), '.', ''), '#', ''), '_', '')) GLOB '*[^0-9]*' THEN upper(replace(replace(replace(replace(replace(tracking_code, ' ', ''), '-', ''), '.', ''), '#', ''), '_', ''))
                           ELSE substr(upper(replace(replace(replace(replace(replace(tracking_code, ' ', ''), '-', ''), '.', ''), '#', ''), '_', '')), CASE length(upper(replace(replace(replace(replace(replace(tracking_code, ' ', ''), '-', ''), '.', ''), '#', ''), '_', ''))) WHEN 28 THEN 9 WHEN 30 THEN 9 WHEN 38 THEN 13 WHEN 34
                             THEN iif(substr(upper(replace(replace(replace(replace(replace(tracking_code, ' ', ''), '-', ''), '.', ''), '#', ''), '_', '')), 9, 2) BETWEEN '91' AND '95', 9, 13) ELSE 1 END) END, '')),
  carrier           TEXT,             -- USPS, UPS, FedEx …
  status            TEXT,             -- pre_transit, in_transit, out_for_delivery, delivered, return_to_sender, failure
                                      -- …
  status_detail     TEXT,             -- details of the status
  shipment_id       TEXT,             -- EasyPost's shipment, shp_…, if the label was bought there
  est_delivery_date TEXT,             -- expected delivery
  est_delivery_date_local TEXT,       -- expected day of delivery where the recipient is, as EasyPost wrote it
  est_delivery_time_local TEXT,       -- expected time of day there, as EasyPost wrote it
  signed_by         TEXT,             -- name of the recipient
  weight_oz         TEXT,             -- ounces, exact decimal text
  service           TEXT,             -- the carrier's service
  is_return         INTEGER,          -- 1: on the way back
  finalized         INTEGER,          -- 1: no further updates
  public_url        TEXT,             -- public tracking page
  created_at        TEXT,             -- creation at the provider
  updated_at        TEXT,             -- last change at the provider
  shop_domain       TEXT,             -- shop of the linked order, found by triggers; NULL: not known, or not yet
  order_id          INTEGER,          -- as in sales_orders
  linked_by         TEXT,             -- tracking_code or reference
  extras            TEXT,             -- JSON: fields of the body that no column takes
  row_version       TEXT NOT NULL,    -- version of the newest event
  column_versions   TEXT,             -- versions of the columns that it left out
  event_id          INTEGER NOT NULL, -- the newest event
  PRIMARY KEY (mode, tracker_id)
) STRICT;

CREATE TABLE tracking_events (
  -- Every scan of a package. A later event may leave out earlier scans; they stay. Order scans by `at`: a scan without
  -- a time comes first, so that it is never the newest one.
  mode           TEXT NOT NULL,    -- production or test
  tracker_id     TEXT NOT NULL,    -- as in shipments
  at             TEXT NOT NULL,    -- time of the scan, see time_certainty; '' if it has none that can be read
  time_certainty TEXT NOT NULL DEFAULT 'exact' -- exact; no_zone: the carrier stated no zone, `at` takes it as UTC and
                                   -- may be wrong by up to 14 hours; date: only the day is known; none: see unread_time
                 CHECK (time_certainty IN ('exact', 'no_zone', 'date', 'none')),
  unread_time    TEXT NOT NULL DEFAULT '', -- time that cannot be read, as the carrier wrote it; '' if absent
  status         TEXT NOT NULL,    -- as in shipments
  status_detail  TEXT NOT NULL,    -- details of the status; '' if absent
  message        TEXT NOT NULL,    -- text of the carrier
  description    TEXT NOT NULL DEFAULT '', -- the carrier's longer text; '' if absent
  city           TEXT NOT NULL,    -- place; '' if absent
  state          TEXT NOT NULL,    -- place; '' if absent
  zip            TEXT NOT NULL,    -- place; '' if absent
  country        TEXT NOT NULL,    -- place; '' if absent
  source         TEXT NOT NULL,    -- sender of the scan; '' if absent
  carrier_code   TEXT NOT NULL DEFAULT '', -- the carrier's own code of the scan; '' if absent
  occurrence     INTEGER NOT NULL DEFAULT 1, -- 1, 2, 3 …: place among the equal scans of one body. Scans with an exact
                                   -- time and equal fields are one scan
  extras         TEXT,             -- JSON: fields of the scan that no column takes
  event_id       INTEGER NOT NULL, -- first event with the scan
  PRIMARY KEY (mode, tracker_id, at, unread_time, status, status_detail, message, description, city, state, zip,
               country, source, carrier_code, occurrence)
) STRICT;

CREATE TABLE easypost_objects (
  -- Objects of EasyPost except trackers: shipments, batches, scan forms, refunds, reports, insurances, payments,
  -- claims.
  mode            TEXT NOT NULL,    -- production or test
  id              TEXT NOT NULL,    -- EasyPost's id: shp_…, batch_…, sf_…, rfnd_…, ins_… …
  object          TEXT,             -- Shipment, Batch, ScanForm, Refund …
  status          TEXT,             -- status or state, in EasyPost's words
  reference       TEXT,             -- the ERP's own reference, such as the name of an order
  reference_key   TEXT GENERATED ALWAYS AS -- reference, as names of orders are compared
                         (nullif(upper(replace(replace(reference, ' ', ''), '#', '')), '')),
  tracking_code   TEXT,             -- number of the carrier
  tracking_key    TEXT GENERATED ALWAYS AS -- tracking_code, as tracking codes are compared
                         (nullif(CASE
                           WHEN upper(replace(replace(replace(replace(replace(tracking_code, ' ', ''), '-', ''), '.', ''), '#', ''), '_', '')) NOT GLOB '420[0-9]*' OR upper(replace(replace(replace(replace(replace(tracking_code, ' ', ''), '-', ''), '.', ''), '#', ''), '_', '')) GLOB '*[^0-9]*' THEN upper(replace(replace(replace(replace(replace(tracking_code, ' ', ''), '-', ''), '.', ''), '#', ''), '_', ''))
                           ELSE substr(upper(replace(replace(replace(replace(replace(tracking_code, ' ', ''), '-', ''), '.', ''), '#', ''), '_', '')), CASE length(upper(replace(replace(replace(replace(replace(tracking_code, ' ', ''), '-', ''), '.', ''), '#', ''), '_', ''))) WHEN 28 THEN 9 WHEN 30 THEN 9 WHEN 38 THEN 13 WHEN 34
                             THEN iif(substr(upper(replace(replace(replace(replace(replace(tracking_code, ' ', ''), '-', ''), '.', ''), '#', ''), '_', '')), 9, 2) BETWEEN '91' AND '95', 9, 13) ELSE 1 END) END, '')),
  carrier         TEXT,             -- USPS, UPS, FedEx …
  shipment_id     TEXT,             -- shipment of the object
  batch_id        TEXT,             -- batch of the object
  batch_status    TEXT,             -- status of the object in the batch
  batch_message   TEXT,             -- error of the object in the batch
  message         TEXT,             -- message of EasyPost
  amount          TEXT,             -- amount
  currency        TEXT,             -- ISO 4217
  url             TEXT,             -- URL of the form, label or report
  size            INTEGER,          -- number of shipments
  last_topic      TEXT,             -- topic of the newest event
  created_at      TEXT,             -- creation at the provider
  updated_at      TEXT,             -- last change at the provider
  extras          TEXT,             -- JSON: fields of the body that no column takes
  row_version     TEXT NOT NULL,    -- version of the newest event
  column_versions TEXT,             -- versions of the columns that it left out
  event_id        INTEGER NOT NULL, -- the newest event
  PRIMARY KEY (mode, id)
) STRICT;

-- Indexes of the Shopify and EasyPost tables: children by parent, lines by item, shipments by order.
CREATE INDEX sales_orders_by_name ON sales_orders (name);
CREATE INDEX sales_orders_by_name_key ON sales_orders (name_key);
CREATE INDEX sales_orders_by_customer ON sales_orders (shop_domain, customer_id);
CREATE INDEX sales_orders_by_email ON sales_orders (email COLLATE NOCASE);
CREATE INDEX sales_orders_by_po_number ON sales_orders (po_number) WHERE po_number IS NOT NULL;
CREATE INDEX customers_by_email ON customers (email COLLATE NOCASE);
CREATE INDEX customers_by_name ON customers (last_name COLLATE NOCASE);
CREATE INDEX product_variants_by_sku ON product_variants (sku);
CREATE INDEX sales_order_lines_by_variant ON sales_order_lines (shop_domain, variant_id);
CREATE INDEX sales_order_lines_by_sku ON sales_order_lines (sku_key, shop_domain);
CREATE INDEX sales_order_lines_unmapped ON sales_order_lines (shop_domain, order_id) WHERE item IS NULL;
CREATE INDEX order_transactions_by_order ON order_transactions (shop_domain, order_id);
CREATE INDEX order_transactions_by_refund ON order_transactions (shop_domain, refund_id) WHERE refund_id IS NOT NULL;
CREATE INDEX refunds_by_order ON refunds (shop_domain, order_id);
CREATE INDEX sales_orders_attention ON sales_orders (shop_domain, order_id) WHERE attention IS NOT NULL;
CREATE INDEX refunds_attention ON refunds (shop_domain, order_id) WHERE attention IS NOT NULL;
CREATE INDEX fulfillments_by_order ON fulfillments (shop_domain, order_id);
CREATE INDEX fulfillment_tracking_by_number ON fulfillment_tracking_numbers (number_key);
CREATE INDEX fulfillment_holds_by_fulfillment_order ON fulfillment_holds (shop_domain, fulfillment_order_id);
CREATE INDEX shipments_by_tracking_code ON shipments (tracking_key);
CREATE INDEX shipments_by_shipment ON shipments (shipment_id);
CREATE INDEX shipments_by_order ON shipments (shop_domain, order_id);
CREATE INDEX shipments_by_status ON shipments (status);
CREATE INDEX easypost_objects_by_tracking_code ON easypost_objects (tracking_key);
CREATE INDEX easypost_objects_by_batch ON easypost_objects (batch_id) WHERE batch_id IS NOT NULL;
CREATE INDEX easypost_objects_by_reference ON easypost_objects (reference_key);

-- Product mappings ----------------------------------------------------------------------------------------------------

CREATE TABLE shopify_product_mappings (
  -- The ERP's item of a Shopify variant, or of everything with one SKU. `novex-ingest mappings` edits it, or an
  -- operator by SQL. Triggers complete orders that are older than their mapping.
  id          INTEGER PRIMARY KEY,              -- no meaning
  shop_domain TEXT NOT NULL,                    -- shop
  variant_id  INTEGER,                          -- Shopify's number of the variant; preferred to an SKU
  sku         TEXT,                             -- or the SKU on the line; exactly one of the two is set
  sku_key     TEXT GENERATED ALWAYS AS -- sku, as SKUs are compared; the hyphens stay, because A-1 and A1 may
                         (upper(replace(sku, ' ', '-'))), -- be two products
  item        TEXT NOT NULL CHECK (item <> ''), -- the ERP's item number
  factor      TEXT NOT NULL DEFAULT '1'         -- ERP units in one unit at Shopify: 12 for a case of 12 pieces; at most
                                                -- 6 digits before the point and 6 after
              CHECK (factor NOT GLOB '*[^0-9.]*' AND factor GLOB '[0-9]*' AND factor NOT GLOB '*.*.*' AND factor NOT GLOB '*.'
                     AND factor NOT GLOB '*.???????*' AND length(CAST(factor AS INTEGER)) <= 6 AND CAST(factor AS REAL) > 0),
  note        TEXT,                             -- free text
  created_at  TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')), -- time when the mapping was added
  CHECK ((variant_id IS NULL) <> (sku IS NULL))
) STRICT;
CREATE UNIQUE INDEX shopify_product_mappings_by_variant ON shopify_product_mappings (shop_domain, variant_id)
  WHERE variant_id IS NOT NULL;
CREATE UNIQUE INDEX shopify_product_mappings_by_sku ON shopify_product_mappings (shop_domain, sku) WHERE sku IS NOT NULL;
CREATE INDEX shopify_product_mappings_by_sku_key ON shopify_product_mappings (shop_domain, sku_key) WHERE sku IS NOT NULL;

CREATE VIEW sales_order_line_mappings AS
  -- The mapping of each line, and its quantities in the ERP's unit. The variant's mapping comes before that of the same
  -- SKU, and that before the only one whose SKU differs in capitals and blanks. The products are exact: they multiply
  -- whole numbers and set the decimal point afterwards.
  SELECT shop_domain, order_id, line_id, item,
         CASE WHEN decimals = 0 THEN CAST(current_product AS TEXT)
              ELSE rtrim(rtrim(CASE WHEN current_product < 0 THEN '-' ELSE '' END || (abs(current_product) / scale) || '.'
                   || substr('000000' || (abs(current_product) % scale), -decimals), '0'), '.') END AS item_quantity,
         CASE WHEN decimals = 0 THEN CAST(ordered_product AS TEXT)
              ELSE rtrim(rtrim(CASE WHEN ordered_product < 0 THEN '-' ELSE '' END || (abs(ordered_product) / scale) || '.'
                   || substr('000000' || (abs(ordered_product) % scale), -decimals), '0'), '.') END AS item_quantity_ordered,
         CASE WHEN decimals = 0 THEN CAST(open_product AS TEXT)
              ELSE rtrim(rtrim(CASE WHEN open_product < 0 THEN '-' ELSE '' END || (abs(open_product) / scale) || '.'
                   || substr('000000' || (abs(open_product) % scale), -decimals), '0'), '.') END AS item_quantity_open
    FROM (SELECT shop_domain, order_id, line_id, item, decimals,
                 coalesce(current_quantity, quantity) * CAST(replace(factor, '.', '') AS INTEGER) AS current_product,
                 quantity * CAST(replace(factor, '.', '') AS INTEGER) AS ordered_product,
                 fulfillable_quantity * CAST(replace(factor, '.', '') AS INTEGER) AS open_product,
                 CAST('1' || substr('000000', 1, decimals) AS INTEGER) AS scale
            FROM (SELECT l.shop_domain, l.order_id, l.line_id, l.quantity, l.current_quantity, l.fulfillable_quantity,
                         m.item, m.factor,
                         CASE WHEN instr(m.factor, '.') = 0 THEN 0
                              ELSE length(m.factor) - instr(m.factor, '.') END AS decimals
                    FROM sales_order_lines l LEFT JOIN shopify_product_mappings m ON m.id = coalesce(
                         (SELECT v.id FROM shopify_product_mappings v
                           WHERE v.shop_domain = l.shop_domain AND v.variant_id = l.variant_id),
                         (SELECT s.id FROM shopify_product_mappings s
                           WHERE s.shop_domain = l.shop_domain AND s.sku = l.sku),
                         (SELECT min(s.id) FROM shopify_product_mappings s
                           WHERE s.shop_domain = l.shop_domain AND s.sku_key = l.sku_key AND s.sku IS NOT NULL
                          HAVING count(*) = 1))));

CREATE VIEW map_sales_order_lines AS
  -- Command: an INSERT gives the line its item. The daemon uses it when it writes an order.
  SELECT shop_domain, order_id, line_id FROM sales_order_lines;
CREATE TRIGGER map_sales_order_lines_insert INSTEAD OF INSERT ON map_sales_order_lines BEGIN
  UPDATE sales_order_lines SET (item, item_quantity, item_quantity_ordered, item_quantity_open) = (
      SELECT m.item, m.item_quantity, m.item_quantity_ordered, m.item_quantity_open FROM sales_order_line_mappings m
       WHERE m.shop_domain = NEW.shop_domain AND m.order_id = NEW.order_id AND m.line_id = NEW.line_id)
   WHERE shop_domain = NEW.shop_domain AND order_id = NEW.order_id AND line_id = NEW.line_id;
END;

CREATE VIEW map_product_lines AS
  -- Command: an INSERT gives every line with the variant or with the SKU its item.
  SELECT shop_domain, variant_id, sku_key FROM shopify_product_mappings;
CREATE TRIGGER map_product_lines_insert INSTEAD OF INSERT ON map_product_lines BEGIN
  INSERT INTO map_sales_order_lines
    SELECT shop_domain, order_id, line_id FROM sales_order_lines
     WHERE shop_domain = NEW.shop_domain AND variant_id = NEW.variant_id
    UNION SELECT shop_domain, order_id, line_id FROM sales_order_lines
     WHERE shop_domain = NEW.shop_domain AND sku_key = NEW.sku_key;
END;

CREATE TRIGGER shopify_product_mappings_added AFTER INSERT ON shopify_product_mappings BEGIN
  INSERT INTO map_product_lines VALUES (NEW.shop_domain, NEW.variant_id, NEW.sku_key);
END;
CREATE TRIGGER shopify_product_mappings_removed AFTER DELETE ON shopify_product_mappings BEGIN
  INSERT INTO map_product_lines VALUES (OLD.shop_domain, OLD.variant_id, OLD.sku_key);
END;
CREATE TRIGGER shopify_product_mappings_changed
  AFTER UPDATE OF shop_domain, variant_id, sku, item, factor ON shopify_product_mappings BEGIN
  INSERT INTO map_product_lines VALUES (OLD.shop_domain, OLD.variant_id, OLD.sku_key);
  INSERT INTO map_product_lines VALUES (NEW.shop_domain, NEW.variant_id, NEW.sku_key);
END;

CREATE VIEW unmapped_lines AS
  -- Products on orders without an item in the ERP: `novex-ingest mappings add` completes these orders. A line without
  -- variant and SKU, such as a custom item, cannot be mapped and is not here. Nor is a line of which nothing is left
  -- after an edit or a refund.
  SELECT l.shop_domain, l.sku, l.variant_id, min(title) AS title, min(variant_title) AS variant_title,
         count(*) AS lines, count(DISTINCT l.order_id) AS orders, min(o.name) AS first_order
    FROM sales_order_lines l INDEXED BY sales_order_lines_unmapped
    LEFT JOIN sales_orders o ON o.shop_domain = l.shop_domain AND o.order_id = l.order_id
   WHERE l.item IS NULL AND (l.sku IS NOT NULL OR l.variant_id IS NOT NULL) AND o.deleted_at IS NULL
     AND coalesce(l.current_quantity, l.quantity) > 0
   GROUP BY l.shop_domain, l.sku, l.variant_id;

CREATE VIEW sales_attention AS
  -- Orders and refunds of which a person must look at the amounts, newest first: both figures are in attention.
  SELECT r.shop_domain, o.name, r.order_id, r.refund_id, r.attention, r.event_id
    FROM (SELECT shop_domain, order_id, NULL AS refund_id, attention, event_id FROM sales_orders
           WHERE attention IS NOT NULL AND deleted_at IS NULL
          UNION ALL SELECT shop_domain, order_id, refund_id, attention, event_id FROM refunds
           WHERE attention IS NOT NULL) r
    LEFT JOIN sales_orders o ON o.shop_domain = r.shop_domain AND o.order_id = r.order_id
   ORDER BY r.event_id DESC;

-- Shipment links ------------------------------------------------------------------------------------------------------

CREATE VIEW shipment_orders AS
  -- The order of each production shipment: by a tracking number of a fulfillment, else by the name of the order that
  -- EasyPost has as reference. Carriers reuse tracking codes, and two shops may have an order #1001. Therefore an
  -- order or fulfillment that is younger than the label never fits. Of several by tracking code the newest one fits;
  -- by reference none fits, unless it is the only one.
  SELECT mode, tracker_id, link ->> 0 AS shop_domain, link ->> 1 AS order_id, link ->> 2 AS linked_by
    FROM (SELECT s.mode, s.tracker_id, coalesce(
                 (SELECT json_array(f.shop_domain, f.order_id, 'tracking_code')
                    FROM fulfillment_tracking_numbers n JOIN fulfillments f USING (shop_domain, fulfillment_id)
                   WHERE n.number_key = s.tracking_key AND f.order_id IS NOT NULL
                     AND coalesce(julianday(f.created_at) <= julianday(s.created_at) + 7, 1)
                   ORDER BY f.created_at DESC, f.order_id DESC, f.shop_domain LIMIT 1),
                 (SELECT min(json_array(shop_domain, order_id, 'reference'))
                    FROM (SELECT DISTINCT o.shop_domain, o.order_id FROM easypost_objects e
                            JOIN sales_orders o ON o.name_key = e.reference_key
                           -- Two conditions with an index each: `mode` alone would select nearly every object.
                           WHERE ((e.tracking_key = s.tracking_key AND +e.mode = s.mode)
                               OR (e.mode = s.mode AND e.id = s.shipment_id))
                             AND coalesce(julianday(o.created_at) <= julianday(s.created_at) + 1, 1))
                  HAVING count(*) = 1)) AS link
            FROM shipments s WHERE s.mode = 'production');

CREATE VIEW relink_shipments AS
  -- Command: an INSERT links the shipment to the order that shipment_orders finds, or to none.
  SELECT mode, tracker_id FROM shipments;
CREATE TRIGGER relink_shipments_insert INSTEAD OF INSERT ON relink_shipments BEGIN
  UPDATE shipments SET (shop_domain, order_id, linked_by) = (
      SELECT o.shop_domain, o.order_id, o.linked_by FROM shipment_orders o
       WHERE o.mode = NEW.mode AND o.tracker_id = NEW.tracker_id)
   WHERE mode = NEW.mode AND tracker_id = NEW.tracker_id;
END;

CREATE VIEW relink_shipments_by_order_name AS
  -- Command: an INSERT relinks every shipment whose reference is the name of the order, with or without '#'.
  SELECT name_key FROM sales_orders;
CREATE TRIGGER relink_shipments_by_order_name_insert INSTEAD OF INSERT ON relink_shipments_by_order_name BEGIN
  INSERT INTO relink_shipments
    SELECT s.mode, s.tracker_id FROM easypost_objects e JOIN shipments s ON s.tracking_key = e.tracking_key
     WHERE e.reference_key = NEW.name_key
    UNION SELECT s.mode, s.tracker_id FROM easypost_objects e JOIN shipments s ON s.shipment_id = e.id
     WHERE e.reference_key = NEW.name_key;
END;

CREATE TRIGGER shipments_linked AFTER INSERT ON shipments BEGIN
  INSERT INTO relink_shipments VALUES (NEW.mode, NEW.tracker_id);
END;
CREATE TRIGGER shipments_relinked AFTER UPDATE OF tracking_code, shipment_id, created_at ON shipments BEGIN
  INSERT INTO relink_shipments VALUES (NEW.mode, NEW.tracker_id);
END;

CREATE TRIGGER fulfillment_tracking_numbers_linked AFTER INSERT ON fulfillment_tracking_numbers BEGIN
  INSERT INTO relink_shipments SELECT mode, tracker_id FROM shipments WHERE tracking_key = NEW.number_key;
END;
CREATE TRIGGER fulfillment_tracking_numbers_relinked
  AFTER UPDATE OF shop_domain, fulfillment_id, number ON fulfillment_tracking_numbers BEGIN
  INSERT INTO relink_shipments SELECT mode, tracker_id FROM shipments WHERE tracking_key IN (OLD.number_key, NEW.number_key);
END;
CREATE TRIGGER fulfillment_tracking_numbers_unlinked AFTER DELETE ON fulfillment_tracking_numbers BEGIN
  INSERT INTO relink_shipments SELECT mode, tracker_id FROM shipments WHERE tracking_key = OLD.number_key;
END;

CREATE VIEW relink_shipments_by_fulfillment AS
  -- Command: an INSERT relinks every shipment that has a tracking number of the fulfillment.
  SELECT shop_domain, fulfillment_id FROM fulfillments;
CREATE TRIGGER relink_shipments_by_fulfillment_insert INSTEAD OF INSERT ON relink_shipments_by_fulfillment BEGIN
  INSERT INTO relink_shipments SELECT mode, tracker_id FROM shipments WHERE tracking_key IN (
    SELECT number_key FROM fulfillment_tracking_numbers
     WHERE shop_domain = NEW.shop_domain AND fulfillment_id = NEW.fulfillment_id);
END;
CREATE TRIGGER fulfillments_linked AFTER INSERT ON fulfillments BEGIN
  INSERT INTO relink_shipments_by_fulfillment VALUES (NEW.shop_domain, NEW.fulfillment_id);
END;
CREATE TRIGGER fulfillments_relinked AFTER UPDATE OF order_id, created_at ON fulfillments
  WHEN OLD.order_id IS NOT NEW.order_id OR OLD.created_at IS NOT NEW.created_at BEGIN
  INSERT INTO relink_shipments_by_fulfillment VALUES (NEW.shop_domain, NEW.fulfillment_id);
END;
CREATE TRIGGER fulfillments_unlinked AFTER DELETE ON fulfillments BEGIN
  INSERT INTO relink_shipments_by_fulfillment VALUES (OLD.shop_domain, OLD.fulfillment_id);
END;

CREATE TRIGGER easypost_objects_linked AFTER INSERT ON easypost_objects WHEN NEW.reference IS NOT NULL BEGIN
  INSERT INTO relink_shipments
    SELECT mode, tracker_id FROM shipments WHERE tracking_key = NEW.tracking_key OR shipment_id = NEW.id;
END;
CREATE TRIGGER easypost_objects_relinked AFTER UPDATE OF id, reference, tracking_code ON easypost_objects
  WHEN OLD.id <> NEW.id OR OLD.reference IS NOT NEW.reference OR OLD.tracking_code IS NOT NEW.tracking_code BEGIN
  INSERT INTO relink_shipments
    SELECT mode, tracker_id FROM shipments
     WHERE tracking_key IN (OLD.tracking_key, NEW.tracking_key) OR shipment_id IN (OLD.id, NEW.id);
END;
CREATE TRIGGER easypost_objects_unlinked AFTER DELETE ON easypost_objects WHEN OLD.reference IS NOT NULL BEGIN
  INSERT INTO relink_shipments
    SELECT mode, tracker_id FROM shipments WHERE tracking_key = OLD.tracking_key OR shipment_id = OLD.id;
END;

-- The old name counts too: its shipments may belong to no order now, or to the only other order of that name.
CREATE TRIGGER sales_orders_linked AFTER INSERT ON sales_orders BEGIN
  INSERT INTO relink_shipments_by_order_name VALUES (NEW.name_key);
END;
CREATE TRIGGER sales_orders_relinked AFTER UPDATE OF name, created_at ON sales_orders
  WHEN OLD.name IS NOT NEW.name OR OLD.created_at IS NOT NEW.created_at BEGIN
  INSERT INTO relink_shipments_by_order_name VALUES (OLD.name_key), (NEW.name_key);
END;
CREATE TRIGGER sales_orders_unlinked AFTER DELETE ON sales_orders BEGIN
  INSERT INTO relink_shipments_by_order_name VALUES (OLD.name_key);
END;

-- Purchase orders -----------------------------------------------------------------------------------------------------

CREATE TABLE purchase_orders (
  -- A retailer's purchase order in its current state: the order with all its changes, by their own numbers and dates,
  -- in whatever order they arrived. Every further document in purchase_order_documents rebuilds it.
  partner       TEXT NOT NULL,    -- sender: ISA06 of X12, TradingPartnerId of RSX
  po_number     TEXT NOT NULL,    -- number of the retailer
  release       TEXT NOT NULL,    -- release of a blanket order; '' for none
  status        TEXT NOT NULL CHECK (status IN ('open', 'cancelled', 'waiting')), -- waiting: a change arrived before
                                                                                  -- its order
  customer      TEXT,             -- the ERP's customer by sps_partner_mappings; NULL: not mapped, see unmapped_partners
  attention     TEXT,             -- why a person must look at the order; NULL: no reason
  purpose       TEXT,             -- 00 original, 05 replace, 07 duplicate …
  kind          TEXT,             -- SA stand alone, DS drop ship, KN cross dock …
  ordered_on    TEXT,             -- day
  currency      TEXT,             -- ISO 4217, if the order states it
  department    TEXT,             -- department of the retailer
  vendor        TEXT,             -- our number at the retailer
  contract      TEXT,             -- contract number of the retailer
  is_test       INTEGER NOT NULL, -- 1: the sender marks the order as a test; do not ship it
  stated_lines  TEXT,             -- number of lines that the order states
  stated_total  TEXT,             -- total that the order states
  lines_total   TEXT,             -- sum of quantity × price of the open lines, in cents; NULL if a line lacks one, if
                                  -- the basis of its price does not make it certain, or if currencies differ
  changes       INTEGER NOT NULL, -- number of changes received
  event_id      INTEGER,          -- event with the order; NULL while the order is missing
  last_event_id INTEGER NOT NULL, -- event of the last change
  PRIMARY KEY (partner, po_number, release)
) STRICT;
CREATE INDEX purchase_orders_by_number ON purchase_orders (po_number);
CREATE INDEX purchase_orders_by_last_event ON purchase_orders (last_event_id);
CREATE INDEX purchase_orders_by_partner ON purchase_orders (partner, last_event_id);
CREATE INDEX purchase_orders_attention ON purchase_orders (partner, po_number, release) WHERE attention IS NOT NULL;
CREATE INDEX purchase_orders_unmapped ON purchase_orders (partner, po_number, release) WHERE customer IS NULL;

CREATE TABLE purchase_order_lines (
  -- Lines of a purchase order in their current state, cancelled lines too.
  partner       TEXT NOT NULL,    -- as in purchase_orders
  po_number     TEXT NOT NULL,    -- as in purchase_orders
  release       TEXT NOT NULL,    -- as in purchase_orders
  position      INTEGER NOT NULL, -- 1, 2, 3 … as in the order; added lines follow
  line_number   TEXT,             -- the retailer's number of the line, if it has one
  status        TEXT NOT NULL CHECK (status IN ('open', 'cancelled')), -- cancelled: a change deleted the line
  quantity      TEXT,             -- exact decimal text, in unit
  unit          TEXT,             -- EA, CA, LB …
  price         TEXT,             -- price, for one unit or as price_basis states
  price_basis   TEXT,             -- basis of the price: PE each, HP per hundred …
  currency      TEXT,             -- ISO 4217, if the line states its own
  buyer_item    TEXT,             -- the retailer's item number
  vendor_item   TEXT,             -- our item number, as the retailer writes it
  upc           TEXT,             -- UPC or EAN of the consumer unit
  gtin          TEXT,             -- GTIN or UPC of the case
  description   TEXT,             -- text
  pack          TEXT,             -- inner units in one ordered unit; of a line in EA, the pieces in its case
  pack_size     TEXT,             -- size of one inner unit: 340 GR
  inner_pack    TEXT,             -- units in one inner pack
  item          TEXT,             -- the ERP's item by sps_item_mappings; NULL: not mapped, see unmapped_purchase_lines
  item_unit     TEXT,             -- the ERP's unit
  item_quantity TEXT,             -- quantity in the ERP's unit; exact decimal text
  PRIMARY KEY (partner, po_number, release, position)
) STRICT;
CREATE INDEX purchase_order_lines_by_buyer_item ON purchase_order_lines (buyer_item);
CREATE INDEX purchase_order_lines_by_vendor_item ON purchase_order_lines (vendor_item);
CREATE INDEX purchase_order_lines_by_upc ON purchase_order_lines (upc);
CREATE INDEX purchase_order_lines_by_gtin ON purchase_order_lines (gtin);
CREATE INDEX purchase_order_lines_unmapped ON purchase_order_lines (partner, po_number, release, status)
  WHERE item IS NULL;

CREATE TABLE purchase_order_parts (
  -- Other parts of a purchase order, one row each: dates, references, contacts, addresses, terms, carriers,
  -- allowances, instructions, notes, amounts; of a line also its schedules, ids, prices and components.
  partner   TEXT NOT NULL,    -- as in purchase_orders
  po_number TEXT NOT NULL,    -- as in purchase_orders
  release   TEXT NOT NULL,    -- as in purchase_orders
  position  INTEGER NOT NULL, -- position of the line; 0: the order itself
  kind      TEXT NOT NULL,    -- date, reference, contact, address, terms, carrier, allowance, instruction,
                              -- note, amount, schedule, id, price, component
  ordinal   INTEGER NOT NULL, -- 1, 2, 3 … within the kind
  code      TEXT,             -- meaning in X12's codes: 002 delivery requested, ST ship to, DP department, C310
                              -- discount …
  value     TEXT,             -- day, number, name, amount, percentage, quantity or text
  details   TEXT NOT NULL,    -- JSON: the whole part; `address` names the address that it belongs to
  PRIMARY KEY (partner, po_number, release, position, kind, ordinal)
) STRICT;
CREATE INDEX purchase_order_parts_by_id ON purchase_order_parts (value) WHERE kind = 'id';

CREATE TABLE purchase_order_extras (
  -- Values of a purchase order that no other column and no part has, so that no value of a document is lost.
  partner   TEXT NOT NULL,    -- as in purchase_orders
  po_number TEXT NOT NULL,    -- as in purchase_orders
  release   TEXT NOT NULL,    -- as in purchase_orders
  position  INTEGER NOT NULL, -- position of the line; 0: the order itself
  ordinal   INTEGER NOT NULL, -- 1, 2, 3 … within the order or line
  location  TEXT NOT NULL,    -- segment with element (PER06), whole segment (MEA), or path in RSX
                              -- (Header/OrderHeader/JobNumber)
  name      TEXT,             -- what the value belongs to: contact IC, address ST 0012
  value     TEXT NOT NULL,    -- value as received; the elements of a whole segment are joined by *
  PRIMARY KEY (partner, po_number, release, position, ordinal)
) STRICT;

CREATE TABLE purchase_order_documents (
  -- Every order and change as parsed. The event has the bytes.
  event_id          INTEGER NOT NULL, -- event of the file
  document_position INTEGER NOT NULL, -- 1, 2, 3 … in the file
  partner           TEXT NOT NULL,    -- as in purchase_orders
  po_number         TEXT NOT NULL,    -- as in purchase_orders
  release           TEXT NOT NULL,    -- as in purchase_orders
  is_change         INTEGER NOT NULL, -- 1: an 860
  received_on       TEXT NOT NULL,    -- day on which the file arrived (UTC): the date of a document that states none
  document          TEXT NOT NULL,    -- JSON
  PRIMARY KEY (event_id, document_position)
) STRICT;
CREATE INDEX purchase_order_documents_by_order ON purchase_order_documents (partner, po_number, release);

CREATE TABLE purchase_order_changes (
  -- The revision history of a purchase order: the effect of each change, line by line, and what replaced an order.
  partner     TEXT NOT NULL,    -- as in purchase_orders
  po_number   TEXT NOT NULL,    -- as in purchase_orders
  release     TEXT NOT NULL,    -- as in purchase_orders
  revision    INTEGER NOT NULL, -- 1, 2, 3 …
  event_id    INTEGER NOT NULL, -- event of the change
  sequence    TEXT,             -- number of the change, by the retailer
  changed_on  TEXT,             -- day of the change
  line_number TEXT,             -- line; NULL: the order itself
  code        TEXT,             -- AI added, DI deleted, PC price, QI and QD quantity …
  outcome     TEXT NOT NULL CHECK (outcome IN ('applied', 'no_effect', 'waiting', 'unclear')), -- no_effect: repetition,
                                -- copy or replaced document; waiting: the order is missing; unclear: a person must
                                -- look, and the message states whether the change is applied
  message     TEXT NOT NULL,    -- text: quantity 10 → 12
  PRIMARY KEY (partner, po_number, release, revision)
) STRICT;

CREATE TABLE edi_faults (
  -- Faults of an EDI file, and their place in it.
  event_id          INTEGER NOT NULL REFERENCES webhook_events (id) ON DELETE CASCADE, -- event of the file
  ordinal           INTEGER NOT NULL, -- 1, 2, 3 … in the file
  severity          TEXT NOT NULL CHECK (severity IN ('warning', 'error')), -- error: the order was not imported
  document_position INTEGER NOT NULL, -- position of the order in the file; 0: the file itself
  line              INTEGER NOT NULL, -- line of the file; 0: unknown
  position          INTEGER NOT NULL, -- position of the segment in its transaction set, ST is 1; 0: unknown
  location          TEXT NOT NULL,    -- BEG03, Header/OrderHeader …
  message           TEXT NOT NULL,    -- text of the fault
  partner           TEXT,             -- partner of the order in the document, also of one that was not imported
  po_number         TEXT,             -- its purchase order number
  PRIMARY KEY (event_id, ordinal)
) STRICT;

CREATE INDEX edi_faults_rejected ON edi_faults (partner, po_number) WHERE severity = 'error';

-- Outbound documents --------------------------------------------------------------------------------------------------

CREATE TABLE edi_sent (
  -- Invoices (810, 880) and ship notices (856) for purchase orders. A number goes to a partner once.
  kind      TEXT NOT NULL CHECK (kind IN ('810', '856', '880')), -- X12's number of the document, also for RSX
  partner   TEXT NOT NULL,    -- as in purchase_orders
  number    TEXT NOT NULL,    -- our number of the invoice or the shipment
  event_id  INTEGER NOT NULL, -- event of the document; its deliveries have the progress
  file_name TEXT NOT NULL,    -- name of the file at the partner
  total     TEXT,             -- total of an invoice
  is_test   INTEGER NOT NULL, -- 1: the order is a test
  sent_at   TEXT NOT NULL,    -- time when the document was queued
  document  TEXT NOT NULL,    -- JSON, as the ERP sent it
  PRIMARY KEY (kind, partner, number)
) STRICT;

CREATE INDEX edi_sent_by_event ON edi_sent (event_id);

CREATE TABLE edi_sent_lines (
  -- Quantities that each document invoiced or shipped, by line of the purchase order.
  kind      TEXT NOT NULL,    -- as in edi_sent
  partner   TEXT NOT NULL,    -- as in edi_sent
  number    TEXT NOT NULL,    -- as in edi_sent
  ordinal   INTEGER NOT NULL, -- 1, 2, 3 … in the document
  po_number TEXT NOT NULL,    -- as in purchase_orders
  release   TEXT NOT NULL,    -- as in purchase_orders
  line      TEXT NOT NULL,    -- the retailer's number of the line; #1, #2 … if it has none
  item_key  TEXT NOT NULL,    -- identifies the item whatever number the line has: buyer B1, vendor V1 …
  quantity  TEXT NOT NULL,    -- exact decimal text
  unit      TEXT,             -- EA, CA, LB …
  PRIMARY KEY (kind, partner, number, ordinal),
  FOREIGN KEY (kind, partner, number) REFERENCES edi_sent (kind, partner, number) ON DELETE CASCADE
) STRICT;
CREATE INDEX edi_sent_lines_by_order ON edi_sent_lines (partner, po_number, release, kind);

CREATE TABLE edi_sent_labels (
  -- SSCC labels of packs in ship notices. A label identifies one pack.
  sscc    TEXT PRIMARY KEY, -- 18 digits
  partner TEXT NOT NULL,    -- recipient of the pack
  number  TEXT NOT NULL,    -- our number of the shipment
  sent_at TEXT NOT NULL     -- time when the ship notice was queued
) STRICT, WITHOUT ROWID;

CREATE TABLE edi_control_numbers (
  -- Last control number for each partner. No number is used twice.
  partner TEXT NOT NULL,    -- as in purchase_orders
  kind    TEXT NOT NULL,    -- interchange, group
  last    INTEGER NOT NULL, -- last number used
  PRIMARY KEY (partner, kind)
) STRICT, WITHOUT ROWID;

CREATE TABLE edi_transmissions (
  -- Every document that went to the queue for a partner (997, 810, 856, 880), and what the partner answered to it. An
  -- answer names the control numbers. The rows of edi_answers decide the state, whatever the order of their arrival.
  event_id         INTEGER PRIMARY KEY, -- event of the document; its deliveries have the progress
  kind             TEXT NOT NULL,       -- X12's number of the document, also for RSX
  partner          TEXT NOT NULL,       -- as in purchase_orders
  number           TEXT NOT NULL,       -- our number of the document; of a 997 the group that it answers: PO 7
  file_name        TEXT NOT NULL,       -- name of the file at the partner
  is_test          INTEGER NOT NULL,    -- 1: the document is marked as a test
  functional_id    TEXT,                -- GS01: IN, SH, FA; NULL for RSX, as the three control numbers
  interchange      INTEGER,             -- ISA13
  group_number     INTEGER,             -- GS06
  set_number       TEXT,                -- ST02
  sent_at          TEXT NOT NULL,       -- time when the document was queued
  state            TEXT NOT NULL        -- none: no answer is expected; unclear: a person must look at the answers
                   CHECK (state IN ('none', 'waiting', 'accepted', 'accepted-with-errors', 'rejected', 'unclear')),
  reasons          TEXT,                -- the partner's reasons in words, one a line
  answered_at      TEXT,                -- arrival of the last answer that counts
  dismissed_at     TEXT,                -- time when an operator dismissed the state; NULL: not dismissed, or the state
                                        -- changed since
  dismissed_reason TEXT,                -- the operator's reason
  dismissed_by     TEXT                 -- the operator: user@host
) STRICT;
CREATE INDEX edi_transmissions_by_group ON edi_transmissions (group_number);
CREATE INDEX edi_transmissions_by_interchange ON edi_transmissions (interchange);
CREATE INDEX edi_transmissions_by_number ON edi_transmissions (number);
CREATE INDEX edi_transmissions_open ON edi_transmissions (state) WHERE state IN ('waiting', 'rejected', 'unclear');

CREATE TABLE edi_answers (
  -- Every answer of a partner to a sent document: an AK2 or AK9 of a 997 or 999, a TA1, an OTI of an 824. The same
  -- answer in another file is stored once.
  event_id         INTEGER NOT NULL, -- event of the file
  ordinal          INTEGER NOT NULL, -- 1, 2, 3 … in the file
  kind             TEXT NOT NULL,    -- 997, 999, TA1, 824
  partner          TEXT NOT NULL,    -- sender of the answer: ISA06
  is_test          INTEGER NOT NULL, -- 1: the answer is marked as a test
  scope            TEXT NOT NULL CHECK (scope IN ('interchange', 'group', 'set', 'item')), -- what it is about
  target           TEXT NOT NULL,    -- what it names: IN group 5, set 0001
  code             TEXT NOT NULL,    -- verdict as received: A, E, R, TR …
  verdict          TEXT NOT NULL     -- partial: some parts are accepted; unclear: the answer states no usable verdict
                   CHECK (verdict IN ('accepted', 'accepted-with-errors', 'partial', 'rejected', 'unclear')),
  reasons          TEXT NOT NULL,    -- JSON array of texts
  sent_event_id    INTEGER,          -- the answered document in edi_transmissions; NULL: it fits none, see problem
  problem          TEXT,             -- why the answer fits no sent document
  received_at      TEXT NOT NULL,    -- arrival of the file
  dismissed_at     TEXT,             -- time when an operator dismissed an answer that fits nothing; NULL: not dismissed
  dismissed_reason TEXT,             -- the operator's reason
  dismissed_by     TEXT,             -- the operator: user@host
  PRIMARY KEY (event_id, ordinal)
) STRICT;
CREATE INDEX edi_answers_by_document ON edi_answers (sent_event_id);
CREATE INDEX edi_answers_by_target ON edi_answers (partner, target);
CREATE INDEX edi_answers_unmatched ON edi_answers (event_id) WHERE sent_event_id IS NULL AND dismissed_at IS NULL;

CREATE TABLE edi_messages (
  -- Received documents that a person reads: text messages (864), payment advices (820), credits and debits (812).
  event_id          INTEGER NOT NULL, -- event of the file
  document_position INTEGER NOT NULL, -- 1, 2, 3 … in the file
  kind              TEXT NOT NULL,    -- 864, 820, 812
  partner           TEXT NOT NULL,    -- sender: ISA06
  is_test           INTEGER NOT NULL, -- 1: the document is marked as a test
  number            TEXT,             -- the partner's number of the message, the payment or the adjustment
  subject           TEXT,             -- subject of an 864
  amount            TEXT,             -- amount of an 820 or 812; exact decimal text
  direction         TEXT,             -- credit or debit, as the partner states it
  currency          TEXT,             -- ISO 4217, if the document states it
  dated_on          TEXT,             -- day of the payment or the adjustment
  refs              TEXT NOT NULL,    -- JSON array of [qualifier, number]: invoices, orders and others that it names
  text              TEXT NOT NULL,    -- its text, or its facts in words
  received_at       TEXT NOT NULL,    -- arrival of the file
  dismissed_at      TEXT,             -- time when an operator dismissed it; NULL: not dismissed
  dismissed_reason  TEXT,             -- the operator's reason
  dismissed_by      TEXT,             -- the operator: user@host
  PRIMARY KEY (event_id, document_position)
) STRICT;
CREATE INDEX edi_messages_by_partner ON edi_messages (partner, kind, number);
CREATE INDEX edi_messages_open ON edi_messages (event_id) WHERE dismissed_at IS NULL;

-- EDI mappings --------------------------------------------------------------------------------------------------------

CREATE TABLE sps_partner_mappings (
  -- The ERP's customer of a partner, and how the partner states quantities. `novex-ingest sps map partner` edits it,
  -- or an operator by SQL. Only the command rebuilds purchase orders after a change of `quantity`.
  partner    TEXT PRIMARY KEY,                     -- as in purchase_orders
  customer   TEXT NOT NULL CHECK (customer <> ''), -- the ERP's customer number
  quantity   TEXT NOT NULL DEFAULT 'total'         -- meaning of the quantities in a change: POC03 is the new total; it
                                                   -- is the difference (QI, QD); POC04 is the new total
             CHECK (quantity IN ('total', 'delta', 'left')),
  note       TEXT,                                 -- free text
  created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')) -- time when the mapping was added
) STRICT;

CREATE TABLE sps_item_mappings (
  -- The ERP's item of a retailer's item. `novex-ingest sps map item` edits it, or an operator by SQL. Triggers
  -- complete purchase orders that are older than their mapping.
  id         INTEGER PRIMARY KEY,               -- no meaning
  partner    TEXT NOT NULL DEFAULT '',          -- partner that uses the number; '' for every partner
  kind       TEXT NOT NULL CHECK (kind <> ''),  -- kind of the number: buyer, vendor, upc, gtin; else its qualifier in
                                                -- X12's codes, in capitals (PL, GE, ZZ …), or none for no qualifier
  value      TEXT NOT NULL CHECK (value <> ''), -- number on the line
  unit       TEXT NOT NULL DEFAULT '',          -- only for lines in this unit; '' for every unit
  item       TEXT NOT NULL CHECK (item <> ''),  -- the ERP's item number
  item_unit  TEXT,                              -- the ERP's unit; NULL: the unit of the line
  factor     TEXT NOT NULL DEFAULT '1'          -- ERP units in one unit of the line: 12 for a case of 12 pieces; at
                                                -- most 6 digits before the point and 6 after
             CHECK (factor NOT GLOB '*[^0-9.]*' AND factor GLOB '[0-9]*' AND factor NOT GLOB '*.*.*' AND factor NOT GLOB '*.'
                    AND factor NOT GLOB '*.???????*' AND length(CAST(factor AS INTEGER)) <= 6 AND CAST(factor AS REAL) > 0),
  note       TEXT,                              -- free text
  created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')), -- time when the mapping was added
  UNIQUE (kind, value, partner, unit)
) STRICT;

CREATE VIEW purchase_order_line_mappings AS
  -- The mapping of each line: the partner's own before that of every partner, one for the unit before one for any
  -- unit, then by buyer's item, vendor's item, GTIN, UPC, any other id of the line. The quantity is exact: it
  -- multiplies whole numbers and sets the decimal point afterwards; NULL over 18 digits.
  SELECT partner, po_number, release, position, item, coalesce(item_unit, unit) AS item_unit,
         CASE WHEN quantity IS NULL OR digits > 18 THEN NULL WHEN decimals = 0 THEN CAST(product AS TEXT)
              ELSE rtrim(rtrim(CASE WHEN product < 0 THEN '-' ELSE '' END || (abs(product) / scale) || '.'
                   || substr('000000000000' || (abs(product) % scale), -decimals), '0'), '.') END AS item_quantity
    FROM (SELECT *, CAST('1' || substr('000000000000', 1, decimals) AS INTEGER) AS scale
            FROM (SELECT l.partner, l.po_number, l.release, l.position, l.quantity, l.unit, m.item, m.item_unit,
                         CAST(replace(l.quantity, '.', '') AS INTEGER)
                         * CAST(replace(m.factor, '.', '') AS INTEGER) AS product,
                         length(replace(l.quantity, '.', '')) + length(replace(m.factor, '.', '')) AS digits,
                         CASE WHEN instr(l.quantity, '.') = 0 THEN 0 ELSE length(l.quantity) - instr(l.quantity, '.') END
                         + CASE WHEN instr(m.factor, '.') = 0 THEN 0 ELSE length(m.factor) - instr(m.factor, '.') END
                         AS decimals
                    FROM purchase_order_lines l JOIN sps_item_mappings m ON m.id = (
                         SELECT c.id FROM sps_item_mappings c
                          WHERE c.id IN (
                                SELECT k.id FROM sps_item_mappings k
                                 WHERE (k.kind = 'buyer' AND k.value = l.buyer_item)
                                    OR (k.kind = 'vendor' AND k.value = l.vendor_item)
                                    OR (k.kind = 'gtin' AND k.value = l.gtin) OR (k.kind = 'upc' AND k.value = l.upc)
                                UNION ALL
                                SELECT k.id FROM purchase_order_parts p JOIN sps_item_mappings k
                                    ON k.kind = CASE p.code WHEN '' THEN 'none' ELSE upper(p.code) END AND k.value = p.value
                                 WHERE p.partner = l.partner AND p.po_number = l.po_number AND p.release = l.release
                                   AND p.position = l.position AND p.kind = 'id')
                            AND c.partner IN (l.partner, '') AND c.unit IN (l.unit, '')
                          ORDER BY c.partner = '', c.unit = '', CASE c.kind WHEN 'buyer' THEN 1 WHEN 'vendor' THEN 2
                                   WHEN 'gtin' THEN 3 WHEN 'upc' THEN 4 ELSE 5 END, c.kind
                          LIMIT 1)));

CREATE VIEW map_purchase_order_lines AS
  -- Command: an INSERT gives the line its item. The daemon uses it when it rebuilds a purchase order.
  SELECT partner, po_number, release, position FROM purchase_order_lines;
CREATE TRIGGER map_purchase_order_lines_insert INSTEAD OF INSERT ON map_purchase_order_lines BEGIN
  UPDATE purchase_order_lines SET (item, item_unit, item_quantity) = (
      SELECT m.item, m.item_unit, m.item_quantity FROM purchase_order_line_mappings m
       WHERE m.partner = NEW.partner AND m.po_number = NEW.po_number AND m.release = NEW.release
         AND m.position = NEW.position)
   WHERE partner = NEW.partner AND po_number = NEW.po_number AND release = NEW.release AND position = NEW.position;
END;

CREATE VIEW map_item_lines AS
  -- Command: an INSERT gives every line with the number, of whatever kind, its item.
  SELECT value FROM sps_item_mappings;
CREATE TRIGGER map_item_lines_insert INSTEAD OF INSERT ON map_item_lines BEGIN
  INSERT INTO map_purchase_order_lines
    SELECT partner, po_number, release, position FROM purchase_order_lines
     WHERE buyer_item = NEW.value OR vendor_item = NEW.value OR upc = NEW.value OR gtin = NEW.value
    UNION
    SELECT partner, po_number, release, position FROM purchase_order_parts WHERE kind = 'id' AND value = NEW.value;
END;
CREATE TRIGGER sps_item_mappings_added AFTER INSERT ON sps_item_mappings BEGIN
  INSERT INTO map_item_lines VALUES (NEW.value);
END;
CREATE TRIGGER sps_item_mappings_removed AFTER DELETE ON sps_item_mappings BEGIN
  INSERT INTO map_item_lines VALUES (OLD.value);
END;
CREATE TRIGGER sps_item_mappings_changed
  AFTER UPDATE OF partner, kind, value, unit, item, item_unit, factor ON sps_item_mappings BEGIN
  INSERT INTO map_item_lines VALUES (OLD.value), (NEW.value);
END;

CREATE VIEW map_partner_orders AS
  -- Command: an INSERT gives every purchase order of the partner its customer.
  SELECT partner FROM sps_partner_mappings;
CREATE TRIGGER map_partner_orders_insert INSTEAD OF INSERT ON map_partner_orders BEGIN
  UPDATE purchase_orders SET customer = (SELECT customer FROM sps_partner_mappings WHERE partner = NEW.partner)
   WHERE partner = NEW.partner;
END;
CREATE TRIGGER sps_partner_mappings_added AFTER INSERT ON sps_partner_mappings BEGIN
  INSERT INTO map_partner_orders VALUES (NEW.partner);
END;
CREATE TRIGGER sps_partner_mappings_removed AFTER DELETE ON sps_partner_mappings BEGIN
  INSERT INTO map_partner_orders VALUES (OLD.partner);
END;
CREATE TRIGGER sps_partner_mappings_changed AFTER UPDATE OF partner, customer ON sps_partner_mappings BEGIN
  INSERT INTO map_partner_orders VALUES (OLD.partner), (NEW.partner);
END;

CREATE VIEW unmapped_purchase_lines AS
  -- Ordered items without an item in the ERP: `novex-ingest sps map item` completes these orders.
  -- `other_ids` has the ids that are in no other column, each with its qualifier: PL 7, ZZ A-1.
  SELECT partner, buyer_item, vendor_item, upc, gtin, other_ids, unit, min(description) AS description,
         count(*) AS lines, count(DISTINCT po_number) AS orders, min(po_number) AS first_order
    FROM (SELECT l.*, (SELECT group_concat(CASE p.code WHEN '' THEN 'none' ELSE upper(p.code) END || ' ' || p.value, ', ')
                         FROM purchase_order_parts p
                        WHERE p.partner = l.partner AND p.po_number = l.po_number AND p.release = l.release
                          AND p.position = l.position AND p.kind = 'id'
                          AND p.value NOT IN (coalesce(l.buyer_item, ''), coalesce(l.vendor_item, ''),
                                              coalesce(l.upc, ''), coalesce(l.gtin, ''))) AS other_ids
            FROM purchase_order_lines l INDEXED BY purchase_order_lines_unmapped
           WHERE l.item IS NULL AND l.status = 'open')
   GROUP BY partner, buyer_item, vendor_item, upc, gtin, other_ids, unit;

CREATE VIEW unmapped_partners AS
  -- Partners without a customer in the ERP: `novex-ingest sps map partner` completes their orders.
  SELECT partner, count(*) AS orders, min(po_number) AS first_order
    FROM purchase_orders WHERE customer IS NULL GROUP BY partner;

-- EDI sources ---------------------------------------------------------------------------------------------------------

CREATE TABLE sps_files (
  -- Every file that a source listed, and the lease on it. A process claims a file as it claims an event. Status
  -- stored: the event exists, but the file is not moved or deleted yet; done: that too; failed: see last_error,
  -- retried, except a file whose name cannot be stored: its name here has escapes.
  id               INTEGER PRIMARY KEY,        -- no meaning
  source           TEXT NOT NULL,              -- name of the source in config.toml
  name             TEXT NOT NULL,              -- name of the file
  status           TEXT NOT NULL -- pending → fetching → stored → done, or failed
                   CHECK (status IN ('pending', 'fetching', 'stored', 'done', 'failed')),
  size             INTEGER,                    -- bytes, as the source states it; NULL: unknown
  modified         TEXT,                       -- time of the last change, as the source states it; NULL: unknown
  event_id         INTEGER,                    -- last event of the file
  fencing_token    INTEGER NOT NULL DEFAULT 0, -- grows with each claim
  attempts         INTEGER NOT NULL DEFAULT 0, -- failed attempts since the last success
  deaths           INTEGER NOT NULL DEFAULT 0, -- last attempts in a row that ended with the death of the process or the
                                               -- end of the lease; above 0 it is fetched alone
  next_attempt_at  TEXT,                       -- no attempt before this; NULL: now
  locked_by        TEXT,                       -- hostname:pid of the lease owner; only while fetching
  locked_process   TEXT,                       -- identity of that process
  locked_at        TEXT,                       -- time of the claim
  lease_expires_at TEXT,                       -- end of the lease
  last_error       TEXT,                       -- why the file could not be fetched, moved or deleted
  seen_at          TEXT NOT NULL,              -- time of the last listing with the file
  UNIQUE (source, name),
  CHECK ((status = 'fetching') = (locked_by IS NOT NULL))
) STRICT;
CREATE INDEX sps_files_leased ON sps_files (lease_expires_at) WHERE status = 'fetching';
CREATE INDEX sps_files_unfinished ON sps_files (source) WHERE status IN ('failed', 'stored');

CREATE TABLE sps_sources (
  -- State of each EDI source, shared by all processes.
  name                 TEXT PRIMARY KEY,           -- as in config.toml
  consecutive_failures INTEGER NOT NULL DEFAULT 0, -- failed polls since the last success
  next_poll_at         TEXT,                       -- no scheduled poll before this
  last_error           TEXT,                       -- why the last poll failed
  last_success_at      TEXT,                       -- time of the last successful listing
  host_key             TEXT                        -- SFTP with `host_key = "first-use"`: the first key; any other is
                                                   -- refused
) STRICT;

CREATE TABLE sps_polls (
  -- Every poll of every source.
  id           INTEGER PRIMARY KEY AUTOINCREMENT, -- in the order of their start
  source       TEXT NOT NULL,                     -- name of the source in config.toml
  requested_by TEXT NOT NULL,                     -- schedule, api or command
  worker       TEXT NOT NULL,                     -- hostname:pid of the polling process
  started_at   TEXT NOT NULL,                     -- start of the poll
  finished_at  TEXT,                              -- end of the poll; NULL: it runs, or its process died
  found        INTEGER NOT NULL DEFAULT 0,        -- files listed
  stored       INTEGER NOT NULL DEFAULT 0,        -- files stored as new events
  duplicates   INTEGER NOT NULL DEFAULT 0,        -- files that were known with the same bytes
  skipped      INTEGER NOT NULL DEFAULT 0,        -- files that another process has, that are not due, or that still
                                                  -- grow
  failed       INTEGER NOT NULL DEFAULT 0,        -- files that could not be fetched, moved or deleted
  orders       INTEGER NOT NULL DEFAULT 0,        -- orders and changes in the new files
  unreadable   INTEGER NOT NULL DEFAULT 0,        -- new files of which a part cannot be read; the event of each fails
  error        TEXT                               -- why the source could not be reached
) STRICT;
CREATE INDEX sps_polls_by_source ON sps_polls (source);
