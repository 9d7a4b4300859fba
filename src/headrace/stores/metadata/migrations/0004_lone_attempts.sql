-- An attempt that succeeds within a moment is kept with its task and has no row in attempts. Only columns with defaults
-- are added, so that a process of an older version that has the store open can end what it does.

ALTER TABLE tasks ADD COLUMN success BLOB;
