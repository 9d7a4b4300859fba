-- Named statements in the portable dialect of _sql.py. A name's comment line starts a statement; ":word" is a value,
-- "clock()" the database's time in seconds since the epoch.
-- Values of an INSERT stand in the order of the table's columns as _rows.py lists them. A state that must not follow the
-- one that is recorded becomes NULL, which its column refuses: see _transitions.py.

-- name: version
SELECT version_num FROM headrace_schema

-- name: next_token
UPDATE counters SET value = value + 1 WHERE name = 'lease' RETURNING value

-- name: take_lease
INSERT INTO leases (name, owner, token, expires) VALUES (:name, :owner, :token, clock() + :seconds)
ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, token = excluded.token, expires = excluded.expires,
    note = NULL, last_commit = 0
WHERE leases.expires <= clock() OR leases.owner = :dead
RETURNING token

-- name: lease
SELECT name, owner, token, expires - clock(), note FROM leases WHERE name = :name

-- name: check_lease
SELECT 1 FROM leases WHERE name = :name AND token = :token AND owner = :owner

-- name: keep_lease
UPDATE leases SET last_commit = :mark, note = :note,
    expires = CASE WHEN expires < clock() + :seconds THEN clock() + :seconds ELSE expires END
WHERE name = :name AND token = :token AND owner = :owner

-- name: keep_lease_in_order
UPDATE leases SET last_commit = :mark, note = :note,
    expires = CASE WHEN expires < clock() + :seconds THEN clock() + :seconds ELSE expires END
WHERE name = :name AND token = :token AND owner = :owner AND last_commit < :mark

-- name: lock_lease
UPDATE leases SET owner = owner WHERE name = :name AND token = :token AND owner = :owner RETURNING last_commit

-- name: last_commit
SELECT last_commit FROM leases WHERE name = :name AND token = :token AND owner = :owner

-- name: release
DELETE FROM leases WHERE name = :name AND token = :token AND owner = :owner

-- name: next_number
INSERT INTO flows (project, flow, last_number) VALUES (:project, :flow, 1)
ON CONFLICT (project, flow) DO UPDATE SET last_number = flows.last_number + 1
RETURNING last_number

-- name: reserve_number
INSERT INTO flows (project, flow, last_number) VALUES (:project, :flow, :number)
ON CONFLICT (project, flow) DO UPDATE SET last_number = excluded.last_number
WHERE flows.last_number < excluded.last_number

-- name: insert_run
INSERT INTO runs (project, flow, number, state, dialect, entry, created, started, finished, session, user_name,
    host, pid, git_commit, git_dirty, failed_task, error, traceback)
VALUES (:project, :flow, :number, 'running', :dialect, :entry, :created, :created, NULL, 1, :user,
    :host, :pid, '', 0, '', '', '')
RETURNING id

-- name: insert_details
INSERT INTO run_details (run_id, inputs, details) VALUES (:run_id, :inputs, :details)

-- name: put_task
INSERT INTO tasks (run_id, step, number, state, attempts, session, occurrence, created, started, finished,
    task_key, code, environment, cache_key, reused_from, error, tags, inputs, success)
VALUES (:run_id, :step, :number, :state, :attempts, :session, :occurrence, :created, :started, :finished,
    :task_key, :code, :environment, :cache_key, :reused_from, :error, :tags, :inputs, :success)
ON CONFLICT (run_id, step, number) DO UPDATE SET
    state = CASE WHEN tasks.session <= excluded.session THEN excluded.state END, attempts = excluded.attempts,
    session = excluded.session, occurrence = excluded.occurrence, created = excluded.created,
    started = excluded.started, finished = excluded.finished, task_key = excluded.task_key, code = excluded.code,
    environment = excluded.environment, cache_key = excluded.cache_key, reused_from = excluded.reused_from,
    error = excluded.error, tags = excluded.tags, inputs = excluded.inputs, success = excluded.success

-- name: put_shared_value
INSERT INTO shared_values (run_id, digest, data) VALUES (:run_id, :digest, :data)
ON CONFLICT (run_id, digest) DO NOTHING

-- name: put_attempt
INSERT INTO attempts (run_id, step, number, attempt, state, started, finished, host, pid, cpu_seconds,
    peak_memory, failure, exit_code, error, traceback, exception, session, place, token)
VALUES (:run_id, :step, :number, :attempt, :state, :started, :finished, :host, :pid, :cpu_seconds,
    :peak_memory, :failure, :exit_code, :error, :traceback, :exception, :session, :place, :token)
ON CONFLICT (run_id, step, number, attempt) DO UPDATE SET
    state = CASE WHEN attempts.state = 'running' THEN excluded.state END, started = excluded.started,
    finished = excluded.finished, host = excluded.host, pid = excluded.pid, cpu_seconds = excluded.cpu_seconds,
    peak_memory = excluded.peak_memory, failure = excluded.failure, exit_code = excluded.exit_code,
    error = excluded.error, traceback = excluded.traceback, exception = excluded.exception,
    session = excluded.session, place = excluded.place, token = excluded.token

-- name: put_artifact
INSERT INTO artifacts (run_id, step, number, name, kind, created, preview, value)
VALUES (:run_id, :step, :number, :name, :kind, :created, :preview, :value)
ON CONFLICT (run_id, step, number, name) DO UPDATE SET kind = excluded.kind, created = excluded.created,
    preview = excluded.preview, value = excluded.value

-- name: drop_outputs
DELETE FROM artifacts WHERE run_id = :run_id AND step = :step AND number = :number AND kind = 'output'

-- name: drop_cached
DELETE FROM cache WHERE run_id = :run_id AND step = :step AND number = :number

-- name: put_edge
INSERT INTO edges (run_id, child_step, child_number, parent_step, parent_number)
VALUES (:run_id, :child_step, :child_number, :parent_step, :parent_number)
ON CONFLICT (run_id, child_step, child_number, parent_step, parent_number) DO NOTHING

-- name: drop_log
DELETE FROM logs WHERE run_id = :run_id AND step = :step AND number = :number AND attempt = :attempt AND stream = :stream

-- name: drop_pieces
DELETE FROM logs WHERE run_id = :run_id AND step = :step AND number = :number AND attempt = :attempt
    AND stream = :stream AND seq >= :first AND seq <= :last

-- name: put_log
INSERT INTO logs (run_id, step, number, attempt, seq, stream, written, data, segment)
VALUES (:run_id, :step, :number, :attempt, :seq, :stream, :written, :data, :segment)
ON CONFLICT (run_id, step, number, attempt, seq) DO NOTHING

-- name: put_queue
INSERT INTO queue (run_id, step, waiting, ready, delayed, running, total, changed)
VALUES (:run_id, :step, :waiting, :ready, :delayed, :running, :total, :changed)
ON CONFLICT (run_id, step) DO UPDATE SET waiting = excluded.waiting, ready = excluded.ready,
    delayed = excluded.delayed, running = excluded.running, total = excluded.total, changed = excluded.changed

-- name: put_flags
INSERT INTO run_flags (run_id, pinned, archived, deleted) VALUES (:run_id, :pinned, :archived, :deleted)
ON CONFLICT (run_id) DO UPDATE SET pinned = excluded.pinned, archived = excluded.archived, deleted = excluded.deleted

-- name: flags_columns
SELECT run_id, pinned, archived, deleted FROM run_flags

-- name: put_request
INSERT INTO requests (run_id, project, run, action, detail, actor, created)
VALUES (:run_id, :project, :run, :action, :detail, :actor, :created)

-- name: requests
SELECT run_id, project, run, action, detail, actor, created FROM requests
WHERE project = :project AND (run = :run OR :every = 1) ORDER BY id DESC LIMIT :limit

-- name: drop_queue
DELETE FROM queue WHERE run_id = :run_id

-- name: put_metric
INSERT INTO metrics (run_id, step, number, name, vals, steps, times)
VALUES (:run_id, :step, :number, :name, :vals, :steps, :times)

-- name: put_summary
INSERT INTO metric_summaries (run_id, name, last_value, lowest, highest, points, last_step)
VALUES (:run_id, :name, :last_value, :lowest, :highest, :points, :last_step)
ON CONFLICT (run_id, name) DO UPDATE SET
    last_value = excluded.last_value,
    lowest = CASE WHEN metric_summaries.lowest IS NULL OR excluded.lowest < metric_summaries.lowest
        THEN excluded.lowest ELSE metric_summaries.lowest END,
    highest = CASE WHEN metric_summaries.highest IS NULL OR excluded.highest > metric_summaries.highest
        THEN excluded.highest ELSE metric_summaries.highest END,
    points = metric_summaries.points + excluded.points,
    last_step = excluded.last_step

-- name: put_tag
INSERT INTO tags (run_id, name, value, number) VALUES (:run_id, :name, :value, :number)
ON CONFLICT (run_id, name) DO UPDATE SET value = excluded.value, number = excluded.number

-- name: drop_tag
DELETE FROM tags WHERE run_id = :run_id AND name = :name

-- name: put_param
INSERT INTO params (run_id, name, logged, number, plain, body)
VALUES (:run_id, :name, :logged, :number, :plain, :body)
ON CONFLICT (run_id, name) DO UPDATE SET logged = excluded.logged, number = excluded.number,
    plain = excluded.plain, body = excluded.body

-- name: put_wait
INSERT INTO waits (run_id, wait_key, kind, name, prompt, created, ends, done, answer)
VALUES (:run_id, :wait_key, :kind, :name, :prompt, :created, :ends, :done, :answer)
ON CONFLICT (run_id, wait_key) DO UPDATE SET kind = excluded.kind, name = excluded.name,
    prompt = excluded.prompt, created = excluded.created, ends = excluded.ends, done = excluded.done,
    answer = excluded.answer

-- name: put_cache
INSERT INTO cache (project, cache_key, created, run_id, step, number)
SELECT r.project, :cache_key, :created, r.id, :step, :number FROM runs r WHERE r.id = :run_id
ON CONFLICT (project, cache_key, created, run_id, step, number) DO NOTHING

-- name: put_signal
INSERT INTO signals (run_id, kind, name, body, sender, created)
VALUES (:run_id, :kind, :name, :body, :sender, :created)

-- name: run_columns
SELECT r.id, r.project, r.flow, r.number, r.state, r.dialect, r.entry, r.created, r.started, r.finished, r.session,
    r.user_name, r.host, r.pid, r.git_commit, r.git_dirty, r.failed_task, r.error, r.traceback FROM runs r

-- name: run_by_name
WHERE r.project = :project AND r.flow = :flow AND r.number = :number

-- name: run_by_id
WHERE r.id = :run_id

-- name: latest_run
WHERE r.project = :project ORDER BY r.id DESC LIMIT 1

-- name: latest_run_of_flow
WHERE r.project = :project AND r.flow = :flow ORDER BY r.id DESC LIMIT 1

-- name: details
SELECT inputs, details FROM run_details WHERE run_id = :run_id

-- name: flows
SELECT flow, COUNT(*), MAX(created) FROM runs WHERE project = :project GROUP BY flow ORDER BY flow

-- name: projects
SELECT DISTINCT project FROM runs ORDER BY project

-- name: run_ids
SELECT id FROM runs WHERE id > :after ORDER BY id

-- name: task_columns
SELECT run_id, step, number, state, attempts, session, occurrence, created, started, finished, task_key, code,
    environment, cache_key, reused_from, error, tags, inputs, success FROM tasks

-- name: shared_columns
SELECT digest, data FROM shared_values

-- name: task
WHERE run_id = :run_id AND step = :step AND number = :number

-- name: step_counts
SELECT c.step, c.state, c.tasks, t.created
FROM (SELECT step, state, COUNT(*) AS tasks, MIN(number) AS first FROM tasks WHERE run_id = :run_id
    GROUP BY step, state) c
JOIN tasks t ON t.run_id = :run_id AND t.step = c.step AND t.number = c.first

-- name: attempt_columns
SELECT run_id, step, number, attempt, state, started, finished, host, pid, cpu_seconds, peak_memory, failure,
    exit_code, error, traceback, exception, session, place, token FROM attempts

-- name: lone_attempt_columns
SELECT run_id, step, number, attempts, success FROM tasks

-- name: artifact_columns
SELECT run_id, step, number, name, kind, created, preview, value FROM artifacts

-- name: of_run
WHERE run_id = :run_id

-- name: of_task
WHERE run_id = :run_id AND step = :step AND number = :number

-- name: parents
SELECT parent_step, parent_number FROM edges
WHERE run_id = :run_id AND child_step = :step AND child_number = :number ORDER BY parent_step, parent_number

-- name: children
SELECT child_step, child_number FROM edges
WHERE run_id = :run_id AND parent_step = :step AND parent_number = :number ORDER BY child_step, child_number

-- name: edge_columns
SELECT run_id, parent_step, parent_number, child_step, child_number FROM edges

-- name: log_columns
SELECT run_id, step, number, attempt, seq, stream, written, data, segment, id FROM logs

-- name: log_position
SELECT MAX(id) FROM logs WHERE run_id = :run_id

-- name: queue_columns
SELECT run_id, step, waiting, ready, delayed, running, total, changed FROM queue

-- name: metric_columns
SELECT run_id, step, number, name, vals, steps, times, id FROM metrics

-- name: summary_columns
SELECT run_id, name, last_value, lowest, highest, points, last_step FROM metric_summaries

-- name: tag_columns
SELECT run_id, name, value FROM tags

-- name: param_columns
SELECT run_id, name, body, logged FROM params

-- name: waits
SELECT run_id, wait_key, kind, name, prompt, created, ends, done, answer FROM waits WHERE run_id = :run_id
ORDER BY created, wait_key

-- name: cached
SELECT cache_key, run_id, step, number, created FROM cache
WHERE project = :project AND cache_key = :cache_key
    AND created = (SELECT MAX(created) FROM cache WHERE project = :project AND cache_key = :cache_key)
ORDER BY run_id, step, number LIMIT 1

-- name: cached_of_run
SELECT cache_key, run_id, step, number, created FROM cache WHERE run_id = :run_id ORDER BY step, number, created

-- name: forget_cached
DELETE FROM cache WHERE project = :project AND cache_key = :cache_key AND created = :created
    AND run_id = :run_id AND step = :step AND number = :number

-- name: forget_result
DELETE FROM cache WHERE project = :project AND cache_key = :cache_key AND created = :created

-- name: signal_columns
SELECT id, run_id, kind, name, body, sender, created FROM signals

-- name: signals_of_run
WHERE run_id = :run_id AND id > :after ORDER BY id
