"""A corpus on disk: clips, columns of its files, splits, and what a job needs of it."""
