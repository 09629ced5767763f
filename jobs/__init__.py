"""Jobs that run on a cluster, one file each, and the command line."""
