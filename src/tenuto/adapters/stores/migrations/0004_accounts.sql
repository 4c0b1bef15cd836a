-- What runs have given back, by their root. A run that ended before has given nothing: a fork of it adds its budget.
CREATE TABLE accounts (
    root TEXT NOT NULL,
    dimension TEXT NOT NULL,
    free INTEGER NOT NULL CHECK (free >= 0),
    PRIMARY KEY (root, dimension)
) WITHOUT ROWID;
