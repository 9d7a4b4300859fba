-- The tables of version 1, frozen. See schema.sql for what they are for.

CREATE TABLE headrace_schema (
    version_num VARCHAR(32) NOT NULL,
    CONSTRAINT headrace_schema_pkc PRIMARY KEY (version_num)
);

-- The last value given out, by name; lease tokens grow over all leases, so a lease row may go when it is released.
CREATE TABLE counters (
    name TEXT NOT NULL PRIMARY KEY,
    value INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE leases (
    name TEXT NOT NULL PRIMARY KEY,
    owner TEXT NOT NULL,
    token INTEGER NOT NULL,
    expires REAL NOT NULL
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
    PRIMARY KEY (run_id, step, number)
) WITHOUT ROWID;
CREATE INDEX tasks_by_state ON tasks (run_id, step, state);

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

CREATE TABLE logs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    run_id INTEGER NOT NULL,
    step TEXT NOT NULL,
    number INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    stream TEXT NOT NULL,
    written REAL NOT NULL,
    data BLOB NOT NULL
);
CREATE UNIQUE INDEX logs_by_attempt ON logs (run_id, step, number, attempt, seq);
CREATE INDEX logs_by_run ON logs (run_id, id);

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

CREATE TABLE cache (
    cache_key BLOB NOT NULL PRIMARY KEY,
    run_id INTEGER NOT NULL,
    step TEXT NOT NULL,
    number INTEGER NOT NULL,
    created REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX cache_by_run ON cache (run_id);

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
INSERT INTO headrace_schema (version_num) VALUES ('0001');
