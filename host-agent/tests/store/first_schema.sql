-- What the first release (user_version 1) left in its file; never changed.
CREATE TABLE jobs (id TEXT PRIMARY KEY, guest TEXT NOT NULL, created_at_ms INTEGER NOT NULL) STRICT;
CREATE TABLE events (
    job TEXT NOT NULL REFERENCES jobs(id), seq INTEGER NOT NULL, at_ms INTEGER NOT NULL, body TEXT NOT NULL,
    PRIMARY KEY (job, seq)) STRICT, WITHOUT ROWID;
CREATE TABLE claims (
    id TEXT PRIMARY KEY, job TEXT NOT NULL UNIQUE, guest TEXT NOT NULL, secret BLOB NOT NULL,
    expired INTEGER NOT NULL DEFAULT 0) STRICT;
CREATE TABLE reports (
    sha256 TEXT PRIMARY KEY, claim_id TEXT NOT NULL UNIQUE, job TEXT NOT NULL, guest TEXT NOT NULL,
    received_at_ms INTEGER NOT NULL, source TEXT NOT NULL, trust TEXT NOT NULL, envelope TEXT NOT NULL,
    ack TEXT NOT NULL) STRICT;
CREATE INDEX reports_by_job ON reports(job);
CREATE TABLE host_keys (
    fingerprint TEXT NOT NULL, job TEXT NOT NULL, guest TEXT NOT NULL, retired INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (fingerprint, job)) STRICT;
CREATE TABLE refusals (
    id INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, source TEXT NOT NULL, code TEXT NOT NULL,
    message TEXT NOT NULL, claim_id TEXT, guest TEXT, job TEXT, sha256 TEXT) STRICT;

INSERT INTO jobs VALUES ('ready', 'web-1', 10), ('interrupted', 'web-2', 20), ('removed', 'web-3', 30);
INSERT INTO events VALUES
    ('ready', 0, 10, '{"kind":"created","guest":"web-1","backend":"local","spec":{},"steps":[{"name":"a","waits":false}],"keep_on_failure":false}'),
    ('ready', 1, 11, '{"kind":"step-started","step":"a"}'),
    ('ready', 2, 12, '{"kind":"step-succeeded","step":"a","output":null}'),
    ('interrupted', 0, 20, '{"kind":"created","guest":"web-2","backend":"local","spec":{},"steps":[{"name":"a","waits":false},{"name":"b","waits":true}],"keep_on_failure":true}'),
    ('interrupted', 1, 21, '{"kind":"step-started","step":"a"}'),
    ('removed', 0, 30, '{"kind":"created","guest":"web-3","backend":"local","spec":{},"steps":[{"name":"a","waits":false}],"keep_on_failure":false}'),
    ('removed', 1, 31, '{"kind":"step-started","step":"a"}'),
    ('removed', 2, 32, '{"kind":"unwind-requested","reason":"no longer wanted"}'),
    ('removed', 3, 33, '{"kind":"undo-started","step":"a"}'),
    ('removed', 4, 34, '{"kind":"undo-finished","step":"a"}');
INSERT INTO claims VALUES ('c1', 'ready', 'web-1', x'', 1), ('c2', 'interrupted', 'web-2', x'0707', 0);
INSERT INTO reports VALUES
    ('aa', 'c1', 'ready', 'web-1', 15, '192.0.2.1', 'claimed',
     '{"version":1,"report":"{}","signature":"s","signing_key":"k","binding":null}',
     '{"version":1,"report_sha256":"aa","accepted_at_ms":15,"host_certificates":[]}');
INSERT INTO host_keys VALUES ('SHA256:one', 'ready', 'web-1', 0), ('SHA256:two', 'removed', 'web-3', 1);
INSERT INTO refusals VALUES (1, 40, '192.0.2.9', 'no-claim', 'the report answers no claim', NULL, NULL, NULL, NULL);
PRAGMA user_version = 1;
