"""What one submits to a cluster, one file a job, and the command line."""
