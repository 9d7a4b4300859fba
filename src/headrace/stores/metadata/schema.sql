-- The metadata schema, version 5, in the portable dialect of _sql.py (SQLite's words; PostgreSQL's are put in there).
-- A change here needs a migration in migrations that leads to the same schema; a test compares the two.
-- Times are seconds since the epoch, truth values 0 or 1. The large columns of a table come last, so that reading
-- the others does not touch them. There are no foreign keys: they would cost a lookup per inserted row.

CREATE TABLE headrace_schema (
    version_num VARCHAR(32) NOT NULL,
    CONSTRAINT headrace_schema_pkc PRIMARY KEY (version_num)
);

-- The last value given out, by name; lease tokens grow over all leases, so a lease row may go when it is released.
CREATE TABLE counters (
    name TEXT NOT NULL PRIMARY KEY,
    value INTEGER NOT NULL
) WITHOUT ROWID;

-- expires: by the database's clock. last_commit: a mark of the last commit that the owner made, by which it knows that
-- one was made whose confirmation it did not get. note: what the owner says of itself.
CREATE TABLE leases (
    name TEXT NOT NULL PRIMARY KEY,
    owner TEXT NOT NULL,
    token INTEGER NOT NULL,
    expires REAL NOT NULL,
    last_commit INTEGER NOT NULL DEFAULT 0,
    note BLOB
) WITHOUT ROWID;

-- The greatest run number a flow ever had, so that the number of a deleted run is not given out again.
CREATE TABLE flows (
    project TEXT NOT NULL,
    flow TEXT NOT NULL,
    last_number INTEGER NOT NULL,
    PRIMARY KEY (project, flow)
) WITHOUT ROWID;

CREATE TABLE runs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    project TEXT NOT NULL,
    flow TEXT NOT NULL,
    number INTEGER NOT NULL,
    state TEXT NOT NULL,
    dialect TEXT NOT NULL,
    entry TEXT NOT NULL,
    created REAL NOT NULL,
    started REAL NOT NULL,
    finished REAL,
    session INTEGER NOT NULL,
    user_name TEXT NOT NULL,
    host TEXT NOT NULL,
    pid INTEGER NOT NULL,
    git_commit TEXT NOT NULL,
    git_dirty INTEGER NOT NULL,
    failed_task TEXT NOT NULL,
    error TEXT NOT NULL,
    traceback TEXT NOT NULL
);
CREATE UNIQUE INDEX runs_by_name ON runs (project, flow, number);
CREATE INDEX runs_by_flow ON runs (project, flow, id);
CREATE INDEX runs_by_project ON runs (project, id);

CREATE TABLE run_details (
    run_id INTEGER NOT NULL PRIMARY KEY,
    inputs BLOB NOT NULL,
    details BLOB NOT NULL
);

CREATE TABLE tasks (
    run_id INTEGER NOT NULL,
    step TEXT NOT NULL,
    number INTEGER NOT NULL,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    session INTEGER NOT NULL,
    occurrence INTEGER NOT NULL,
    created REAL NOT NULL,
    started REAL,
    finished REAL,
    task_key BLOB NOT NULL,
    code BLOB NOT NULL,
    environment BLOB NOT NULL,
    cache_key BLOB NOT NULL,
    reused_from TEXT NOT NULL,
    error TEXT NOT NULL,
    tags BLOB NOT NULL,
    inputs BLOB NOT NULL,
    success BLOB,
    PRIMARY KEY (run_id, step, number)
) WITHOUT ROWID;
CREATE INDEX tasks_by_state ON tasks (run_id, step, state);

-- An attempt has its row from its start, but for one that succeeds within a moment: that is kept with its task
-- (tasks.success, see TaskRecord). Defaults are for processes of an older version that had the store open when it
-- was migrated.
CREATE TABLE attempts (
    run_id INTEGER NOT NULL,
    step TEXT NOT NULL,
    number INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    state TEXT NOT NULL,
    started REAL NOT NULL,
    finished REAL,
    host TEXT NOT NULL,
    pid INTEGER NOT NULL,
    cpu_seconds REAL NOT NULL,
    peak_memory INTEGER NOT NULL,
    failure TEXT NOT NULL,
    exit_code INTEGER,
    error TEXT NOT NULL,
    traceback TEXT NOT NULL,
    exception BLOB,
    session INTEGER NOT NULL DEFAULT 0,
    place TEXT NOT NULL DEFAULT 'local',
    token INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (run_id, step, number, attempt)
) WITHOUT ROWID;

CREATE TABLE artifacts (
    run_id INTEGER NOT NULL,
    step TEXT NOT NULL,
    number INTEGER NOT NULL,
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    created REAL NOT NULL,
    preview BLOB NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (run_id, step, number, name)
) WITHOUT ROWID;

CREATE TABLE edges (
    run_id INTEGER NOT NULL,
    child_step TEXT NOT NULL,
    child_number INTEGER NOT NULL,
    parent_step TEXT NOT NULL,
    parent_number INTEGER NOT NULL,
    PRIMARY KEY (run_id, child_step, child_number, parent_step, parent_number)
) WITHOUT ROWID;
CREATE INDEX edges_by_parent ON edges (run_id, parent_step, parent_number);

-- Output of attempts: pieces as they came, and segments, whose bytes lie in the artifact store (segment is not NULL then,
-- and seq that of the first piece).
CREATE TABLE logs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    run_id INTEGER NOT NULL,
    step TEXT NOT NULL,
    number INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    stream TEXT NOT NULL,
    written REAL NOT NULL,
    data BLOB NOT NULL,
    segment BLOB
);
CREATE UNIQUE INDEX logs_by_attempt ON logs (run_id, step, number, attempt, seq);
CREATE INDEX logs_by_run ON logs (run_id, id);

-- How many tasks of a step of a live run were in each state that is not final, and how many the run knew of in all, at
-- time changed. There are rows only while a driver is alive; what a killed one left is deleted by the next session.
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

-- Bytes of arguments that tasks of a run share; rows of tasks name them by digest.
CREATE TABLE shared_values (
    run_id INTEGER NOT NULL,
    digest BLOB NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (run_id, digest)
) WITHOUT ROWID;

-- Columns of numbers as packed little-endian doubles (vals, times) and 64-bit integers (steps).
CREATE TABLE metrics (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    run_id INTEGER NOT NULL,
    step TEXT NOT NULL,
    number INTEGER NOT NULL,
    name TEXT NOT NULL,
    vals BLOB NOT NULL,
    steps BLOB NOT NULL,
    times BLOB NOT NULL
);
CREATE INDEX metrics_by_run ON metrics (run_id, id);

-- NULL stands for "not a number"; lowest and highest pass over such points.
CREATE TABLE metric_summaries (
    run_id INTEGER NOT NULL,
    name TEXT NOT NULL,
    last_value REAL,
    lowest REAL,
    highest REAL,
    points INTEGER NOT NULL,
    last_step INTEGER NOT NULL,
    PRIMARY KEY (run_id, name)
) WITHOUT ROWID;
CREATE INDEX metric_summaries_by_name ON metric_summaries (name, last_value);

-- number: the value as a number, where it is one; plain: the value without JSON's quotes, for comparing.
CREATE TABLE tags (
    run_id INTEGER NOT NULL,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    number REAL,
    PRIMARY KEY (run_id, name)
) WITHOUT ROWID;
CREATE INDEX tags_by_name ON tags (name, value);

CREATE TABLE params (
    run_id INTEGER NOT NULL,
    name TEXT NOT NULL,
    logged INTEGER NOT NULL,
    number REAL,
    plain TEXT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (run_id, name)
) WITHOUT ROWID;
CREATE INDEX params_by_name ON params (name, number);

CREATE TABLE waits (
    run_id INTEGER NOT NULL,
    wait_key BLOB NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    prompt TEXT NOT NULL,
    created REAL NOT NULL,
    ends REAL,
    done INTEGER NOT NULL,
    answer BLOB NOT NULL,
    PRIMARY KEY (run_id, wait_key)
) WITHOUT ROWID;

-- Every task that holds a result answers its cache key, also one that took it from another run; created: when the
-- result was made. So a result is there for as long as any run that holds it.
CREATE TABLE cache (
    project TEXT NOT NULL,
    cache_key BLOB NOT NULL,
    created REAL NOT NULL,
    run_id INTEGER NOT NULL,
    step TEXT NOT NULL,
    number INTEGER NOT NULL,
    PRIMARY KEY (project, cache_key, created, run_id, step, number)
) WITHOUT ROWID;
CREATE INDEX cache_by_run ON cache (run_id, step, number);

CREATE TABLE signals (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    run_id INTEGER NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    body BLOB NOT NULL,
    sender TEXT NOT NULL,
    created REAL NOT NULL
);
CREATE INDEX signals_by_run ON signals (run_id, id);

INSERT INTO counters (name, value) VALUES ('lease', 0);
INSERT INTO headrace_schema (version_num) VALUES ('0005');

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

-- Marks of runs. deleted: when the run is to be deleted for good; until then it can be restored. No row: no marks.
CREATE TABLE run_flags (
    run_id INTEGER NOT NULL PRIMARY KEY,
    pinned INTEGER NOT NULL,
    archived INTEGER NOT NULL,
    deleted REAL
);

-- password: an argon2id hash, empty where the user has none. subject: who the user is at a provider of identities.
CREATE TABLE users (
    name TEXT NOT NULL PRIMARY KEY,
    display TEXT NOT NULL,
    password TEXT NOT NULL,
    subject TEXT NOT NULL,
    disabled INTEGER NOT NULL,
    created REAL NOT NULL
) WITHOUT ROWID;
CREATE UNIQUE INDEX users_by_subject ON users (subject) WHERE subject <> '';

-- project '*' stands for all projects.
CREATE TABLE user_roles (
    user_name TEXT NOT NULL,
    project TEXT NOT NULL,
    role TEXT NOT NULL,
    PRIMARY KEY (user_name, project)
) WITHOUT ROWID;

-- Of a token its BLAKE3 alone. only_run: the run that a driver's token may write; NULL: it is not a driver's, 0: it may
-- open one run, which is then its run.
CREATE TABLE tokens (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    user_name TEXT NOT NULL,
    name TEXT NOT NULL,
    hash BLOB NOT NULL,
    scope TEXT NOT NULL,
    project TEXT NOT NULL,
    only_run INTEGER,
    created REAL NOT NULL,
    expires REAL,
    last_used REAL,
    revoked REAL
);
CREATE UNIQUE INDEX tokens_by_hash ON tokens (hash);
CREATE INDEX tokens_by_user ON tokens (user_name, id);

CREATE TABLE sessions (
    hash BLOB NOT NULL PRIMARY KEY,
    user_name TEXT NOT NULL,
    csrf TEXT NOT NULL,
    created REAL NOT NULL,
    expires REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX sessions_by_user ON sessions (user_name);

-- Logins that were begun and not ended, each used once.
CREATE TABLE pending_logins (
    hash BLOB NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL,
    body BLOB NOT NULL,
    expires REAL NOT NULL
) WITHOUT ROWID;

-- Failed logins in a row, by user or address: they lock it out for a while.
CREATE TABLE login_failures (
    subject TEXT NOT NULL PRIMARY KEY,
    failures INTEGER NOT NULL,
    latest REAL NOT NULL
) WITHOUT ROWID;

CREATE TABLE audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    created REAL NOT NULL,
    actor TEXT NOT NULL,
    address TEXT NOT NULL,
    request_id TEXT NOT NULL,
    action TEXT NOT NULL,
    project TEXT NOT NULL,
    object TEXT NOT NULL,
    outcome TEXT NOT NULL,
    detail TEXT NOT NULL
);
CREATE INDEX audit_by_project ON audit (project, id);
CREATE INDEX audit_by_actor ON audit (actor, id);
