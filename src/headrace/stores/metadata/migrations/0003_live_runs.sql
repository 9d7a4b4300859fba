-- What others can see of a live run: attempts from their start, counts of what waits. Values that tasks share are stored
-- once, and output may lie in segments in the artifact store. Only columns with defaults are added, so that a process of
-- an older version that has the store open can end what it does.

ALTER TABLE attempts ADD COLUMN session INTEGER NOT NULL DEFAULT 0;
ALTER TABLE attempts ADD COLUMN place TEXT NOT NULL DEFAULT 'local';
ALTER TABLE attempts ADD COLUMN token INTEGER NOT NULL DEFAULT 0;

ALTER TABLE logs ADD COLUMN segment BLOB;

CREATE TABLE queue (
    run_id INTEGER NOT NULL,
    step TEXT NOT NULL,
    waiting INTEGER NOT NULL,
    ready INTEGER NOT NULL,
    delayed INTEGER NOT NULL,
    running INTEGER NOT NULL,
    total INTEGER NOT NULL,
    changed REAL NOT NULL,
    PRIMARY KEY (run_id, step)
) WITHOUT ROWID;

CREATE TABLE shared_values (
    run_id INTEGER NOT NULL,
    digest BLOB NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (run_id, digest)
) WITHOUT ROWID;

-- A mark of the last commit under a lease, and what its owner says of itself; see schema.sql.
ALTER TABLE leases ADD COLUMN last_commit INTEGER NOT NULL DEFAULT 0;
ALTER TABLE leases ADD COLUMN note BLOB;

-- Who changed what of a run on request. It outlives the run.
CREATE TABLE requests (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    run_id INTEGER NOT NULL,
    project TEXT NOT NULL,
    run TEXT NOT NULL,
    action TEXT NOT NULL,
    detail TEXT NOT NULL,
    actor TEXT NOT NULL,
    created REAL NOT NULL
);
CREATE INDEX requests_by_project ON requests (project, run, id);
