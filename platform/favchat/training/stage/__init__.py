"""One stage of the curriculum: its start, steps, checkpoints and log."""
