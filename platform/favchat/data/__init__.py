"""Datasets: sources, the Ray Data pipeline that writes shards, and annotations generated from labels."""
