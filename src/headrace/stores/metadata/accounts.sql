-- Named statements of accounts, in the dialect of queries.sql.

-- name: add_user
INSERT INTO users (name, display, password, subject, disabled, created)
VALUES (:name, :display, :password, :subject, :disabled, :created)
ON CONFLICT DO NOTHING RETURNING name

-- name: change_user
UPDATE users SET display = :display, password = :password, subject = :subject, disabled = :disabled,
    created = :created
WHERE name = :name

-- name: users
SELECT name, display, password, subject, disabled, created FROM users

-- name: user_of_name
WHERE name = :name

-- name: user_of_subject
WHERE subject = :subject AND subject <> ''

-- name: users_in_order
ORDER BY name

-- name: set_role
INSERT INTO user_roles (user_name, project, role) VALUES (:user, :project, :role)
ON CONFLICT (user_name, project) DO UPDATE SET role = excluded.role

-- name: drop_role
DELETE FROM user_roles WHERE user_name = :user AND project = :project

-- name: roles
SELECT user_name, project, role FROM user_roles WHERE :every = 1 OR user_name = :user ORDER BY user_name, project

-- name: add_token
INSERT INTO tokens (user_name, name, hash, scope, project, only_run, created, expires, last_used, revoked)
VALUES (:user, :name, :hash, :scope, :project, :run, :created, :expires, NULL, NULL)
RETURNING id

-- name: tokens
SELECT id, user_name, name, scope, project, only_run, created, expires, last_used, revoked FROM tokens

-- name: token_of
WHERE hash = :hash

-- name: tokens_of
WHERE :every = 1 OR user_name = :user ORDER BY id

-- name: revoke_token
UPDATE tokens SET revoked = :now
WHERE id = :id AND revoked IS NULL AND (expires IS NULL OR expires > :now) RETURNING id

-- name: note_use
UPDATE tokens SET last_used = :now WHERE id = :id

-- name: bind_token
UPDATE tokens SET only_run = :run WHERE id = :id AND only_run = 0 RETURNING id

-- name: add_session
INSERT INTO sessions (hash, user_name, csrf, created, expires) VALUES (:hash, :user, :csrf, :created, :expires)

-- name: session
SELECT hash, user_name, csrf, created, expires FROM sessions WHERE hash = :hash

-- name: end_session
DELETE FROM sessions WHERE hash = :hash

-- name: end_sessions
DELETE FROM sessions WHERE user_name = :user

-- name: begin_login
INSERT INTO pending_logins (hash, kind, body, expires) VALUES (:hash, :kind, :body, :expires)

-- name: take_login
DELETE FROM pending_logins WHERE hash = :hash AND kind = :kind RETURNING body, expires

-- name: login_failed
INSERT INTO login_failures (subject, failures, latest) VALUES (:subject, 1, :now)
ON CONFLICT (subject) DO UPDATE SET failures = login_failures.failures + 1, latest = excluded.latest
RETURNING failures

-- name: login_failures
SELECT failures, latest FROM login_failures WHERE subject = :subject

-- name: login_succeeded
DELETE FROM login_failures WHERE subject = :subject

-- name: forget_sessions
DELETE FROM sessions WHERE expires <= :now

-- name: forget_logins
DELETE FROM pending_logins WHERE expires <= :now

-- name: forget_failures
DELETE FROM login_failures WHERE latest < :before

-- name: record
INSERT INTO audit (created, actor, address, request_id, action, project, object, outcome, detail)
VALUES (:created, :actor, :address, :request_id, :action, :project, :object, :outcome, :detail)

-- name: audit
SELECT id, created, actor, address, request_id, action, project, object, outcome, detail FROM audit
