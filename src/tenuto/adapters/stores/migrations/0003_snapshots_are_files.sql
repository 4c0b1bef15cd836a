-- They were a cache, and now lie beside the store.
DROP TABLE snapshots;
