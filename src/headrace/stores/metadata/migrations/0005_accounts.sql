-- A server's users with their roles, tokens and sessions, and its audit log; marks of runs that users set.
-- Only tables are added, so that a process of an older version that has the store open can end what it does.

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
