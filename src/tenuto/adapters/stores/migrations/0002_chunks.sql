-- Records and blobs share one table, so that a commit writes one page of them and not two.
--
-- place: of a segment as before, NULL for a blob. entries: of a segment as before, the digest for a blob.
CREATE TABLE chunks (
    id INTEGER PRIMARY KEY,
    place INTEGER,
    epoch INTEGER,
    entries BLOB NOT NULL,
    body BLOB NOT NULL
);
INSERT INTO chunks (place, epoch, entries, body) SELECT place, epoch, entries, body FROM segments ORDER BY id;
INSERT INTO chunks (entries, body) SELECT digest, body FROM blobs ORDER BY id;
CREATE UNIQUE INDEX chunks_by_place ON chunks (place) WHERE place IS NOT NULL;

-- Where a blob is. Digests fall on random pages, so they are entered many at a time: up to the chunk of that id. Those
-- of later chunks are found by looking at the chunks themselves.
CREATE TABLE digests (
    digest BLOB PRIMARY KEY,
    chunk INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE digested (upto INTEGER NOT NULL);
INSERT OR IGNORE INTO digests SELECT entries, id FROM chunks WHERE place IS NULL;
INSERT INTO digested SELECT coalesce(max(id), 0) FROM chunks;

DROP TABLE segments;
DROP TABLE blobs;
