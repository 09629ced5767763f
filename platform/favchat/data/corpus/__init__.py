"""A corpus on disk: clips, file schemas, splits, and checks that a job's inputs exist."""
