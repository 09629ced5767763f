"""Features of frozen encoders, computed once and kept beside the shards."""
