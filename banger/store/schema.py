"""The tables of banger.db, as the list of steps that made them. A step that was released is never edited."""

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE actions (
        digest      TEXT PRIMARY KEY,
        kind        TEXT NOT NULL,
        document    TEXT NOT NULL,             -- what was hashed, as JSON: `banger why` compares two of them
        value       TEXT NOT NULL,
        artifacts   TEXT NOT NULL,             -- JSON list of digests
        label       TEXT NOT NULL,
        run_id      TEXT NOT NULL,
        made_at     REAL NOT NULL,
        used_at     REAL NOT NULL,
        seconds     REAL NOT NULL
    ) STRICT;
    CREATE TABLE blobs (
        digest      TEXT PRIMARY KEY,
        size        INTEGER NOT NULL,
        stamp       TEXT NOT NULL              -- inode, mtime and boot under which the content was last verified
    ) STRICT;
    CREATE TABLE leases (
        id          TEXT PRIMARY KEY,          -- '<vm id>/<node>': every name on the host is derived from it
        vm_id       TEXT,
        run_id      TEXT,                      -- NULL once the run has succeeded
        node        TEXT NOT NULL,
        scope       INTEGER NOT NULL,
        kind        TEXT NOT NULL,
        version     INTEGER NOT NULL,
        digest      TEXT NOT NULL,
        params      TEXT NOT NULL,
        inputs      TEXT NOT NULL,
        value       TEXT,                      -- NULL until the effect is known to be there
        state       TEXT NOT NULL CHECK (state IN ('intend', 'held', 'releasing')),
        depends_on  TEXT NOT NULL,             -- JSON list of lease ids: released after this one
        boot_id     TEXT NOT NULL
    ) STRICT;
    CREATE INDEX leases_by_vm ON leases (vm_id);
    CREATE INDEX leases_by_run ON leases (run_id) WHERE run_id IS NOT NULL;
    CREATE TABLE vms (
        id          TEXT PRIMARY KEY,
        name        TEXT NOT NULL UNIQUE,
        request     TEXT NOT NULL,
        created_at  REAL NOT NULL
    ) STRICT;
    CREATE TABLE runs (
        id          TEXT PRIMARY KEY,
        what        TEXT NOT NULL,             -- 'vm.create', 'vm.start', ...
        vm_id       TEXT,
        started_at  REAL NOT NULL,
        seconds     REAL,
        outcome     TEXT                       -- NULL while it runs
    ) STRICT;
    CREATE TABLE node_runs (
        run_id      TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
        node        TEXT NOT NULL,
        kind        TEXT NOT NULL,
        flavour     TEXT NOT NULL,
        cache       TEXT NOT NULL,             -- 'hit', 'miss' or 'none'
        outcome     TEXT NOT NULL,
        queued_s    REAL NOT NULL,             -- since the start of the run, as the next two
        started_s   REAL NOT NULL,
        finished_s  REAL NOT NULL,
        digest      TEXT
    ) STRICT;
    CREATE INDEX node_runs_by_run ON node_runs (run_id);
    CREATE INDEX node_runs_by_kind ON node_runs (kind);
    """,
    """
    -- Of value and artifacts: what consumers are keyed by.
    ALTER TABLE actions ADD COLUMN output_digest TEXT;
    -- MessagePack: the nodes that did not have to run.
    ALTER TABLE runs ADD COLUMN hits BLOB;
    ALTER TABLE node_runs ADD COLUMN claimed_s REAL NOT NULL DEFAULT 0;
    ALTER TABLE node_runs ADD COLUMN published_s REAL NOT NULL DEFAULT 0;
    ALTER TABLE node_runs ADD COLUMN attempt INTEGER NOT NULL DEFAULT 1;
    -- The node whose end made this one start.
    ALTER TABLE node_runs ADD COLUMN bound_by TEXT;
    DROP INDEX node_runs_by_kind;
    CREATE TABLE kind_times (
        kind        TEXT PRIMARY KEY,
        seconds     TEXT NOT NULL              -- JSON list: the newest executions, the newest last
    ) STRICT;
    """,
    """
    -- What is kept of a run besides its times; `run` is the rowid of the last run that used a row.
    CREATE TABLE run_graphs (
        run_id      TEXT PRIMARY KEY REFERENCES runs (id) ON DELETE CASCADE,
        nodes       BLOB NOT NULL              -- MessagePack, deflated: banger.model.story.ToldNode
    ) STRICT;
    CREATE TABLE documents (
        digest      TEXT PRIMARY KEY,          -- an action digest, or the digest of an output
        content     BLOB NOT NULL,             -- JSON, deflated: what was hashed into it
        run         INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX documents_by_run ON documents (run);
    CREATE TABLE kind_sizes (
        kind        TEXT PRIMARY KEY,
        size_bytes  INTEGER NOT NULL           -- of the artifacts that its newest execution put out
    ) STRICT;
    """,
    """
    CREATE TABLE pins (
        digest      TEXT PRIMARY KEY,          -- of an artifact, which may be gone: its pin waits for it
        note        TEXT NOT NULL,
        pinned_at   REAL NOT NULL
    ) STRICT;
    DELETE FROM blobs;                         -- stamps have another form: inode, size, mtime, ctime and boot
    """,
    """
    CREATE TABLE kernels (
        name        TEXT PRIMARY KEY,
        source      TEXT NOT NULL,             -- JSON: banger.model.kernel_source
        made        TEXT NOT NULL,             -- JSON list of digests: the artifacts that boot
        added_at    REAL NOT NULL
    ) STRICT;
    """,
    """
    CREATE TABLE images (
        name        TEXT PRIMARY KEY,
        source      TEXT NOT NULL,             -- what `vm run --image` may say instead of the name
        value       TEXT NOT NULL,             -- JSON: banger.store.images.ImageRecord but for name and source
        added_at    REAL NOT NULL
    ) STRICT;
    CREATE INDEX images_by_source ON images (source);
    """,
)
