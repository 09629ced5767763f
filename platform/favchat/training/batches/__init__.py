"""From shards and annotations to the batches of a stage."""
