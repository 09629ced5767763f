"""Cache of frozen encoders' features, beside the shards."""
