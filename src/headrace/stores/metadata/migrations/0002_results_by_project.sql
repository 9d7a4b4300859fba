-- The cache answers within a project, and every task that holds a result has an entry of its own. An entry of version 1
-- belongs to the project of the run that made it; tasks of that project that took its result get theirs.

CREATE TABLE cache_before AS SELECT cache_key, run_id, step, number, created FROM cache;
DROP TABLE cache;

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

INSERT INTO cache (project, cache_key, created, run_id, step, number)
SELECT r.project, c.cache_key, c.created, c.run_id, c.step, c.number
FROM cache_before c JOIN runs r ON r.id = c.run_id;

INSERT INTO cache (project, cache_key, created, run_id, step, number)
SELECT r.project, t.cache_key, c.created, t.run_id, t.step, t.number
FROM tasks t
JOIN runs r ON r.id = t.run_id
JOIN cache_before c ON c.cache_key = t.cache_key
JOIN runs o ON o.id = c.run_id AND o.project = r.project
WHERE t.state = 'succeeded'
    AND t.reused_from = o.flow || '/' || o.number || '/' || c.step || '/' || c.number
    AND NOT (t.run_id = c.run_id AND t.step = c.step AND t.number = c.number);

DROP TABLE cache_before;
