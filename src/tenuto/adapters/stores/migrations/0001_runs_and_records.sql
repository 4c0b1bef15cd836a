-- Numbers are never used twice: a deleted run keeps its row.
CREATE TABLE runs (
    num INTEGER PRIMARY KEY,
    run TEXT NOT NULL UNIQUE,
    epoch INTEGER NOT NULL,
    owner TEXT,
    deleted_us INTEGER
);

-- A row holds the records of one append, or a part of them if they are many. place = num * 2^32 + seq of the last
-- one; entries: for each record its length (4 bytes, little-endian) and its SHA-256; body: the records themselves.
-- The place is not the key itself: rows keyed by it would make runs that append at the same time write a page each,
-- where they now share the last one (measured: twice the processor time of a commit).
CREATE TABLE segments (
    id INTEGER PRIMARY KEY,
    place INTEGER NOT NULL UNIQUE,
    epoch INTEGER NOT NULL,
    entries BLOB NOT NULL,
    body BLOB NOT NULL
);

-- A rowid table on purpose: keyed by digest alone, bodies would fall on random pages, half of each empty.
CREATE TABLE blobs (
    id INTEGER PRIMARY KEY,
    digest BLOB NOT NULL UNIQUE,
    body BLOB NOT NULL
);

CREATE TABLE snapshots (
    num INTEGER PRIMARY KEY,
    seq INTEGER NOT NULL,
    head BLOB NOT NULL,
    body BLOB NOT NULL
);

CREATE TABLE inbox (
    id INTEGER PRIMARY KEY,
    num INTEGER NOT NULL,
    key TEXT NOT NULL,
    body BLOB NOT NULL,
    at_us INTEGER NOT NULL,
    taken INTEGER NOT NULL DEFAULT 0,
    UNIQUE (num, key)
);

-- `lost` is set when a run was claimed from a session that had lapsed: it is never renewed again.
CREATE TABLE sessions (
    name TEXT PRIMARY KEY,
    until_us INTEGER NOT NULL,
    lost INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
