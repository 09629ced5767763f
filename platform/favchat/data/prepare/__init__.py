"""Processes videos into shards and rejects."""
