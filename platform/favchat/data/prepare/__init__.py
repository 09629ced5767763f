"""From videos to shards and rejects."""
