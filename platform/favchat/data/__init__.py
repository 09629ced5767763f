"""Many clips: sources, the Ray Data pipeline that writes shards, and the annotations written from labels."""
