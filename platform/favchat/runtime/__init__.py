"""Runtime of the jobs: Ray clusters and resources, threads, ports, progress on a terminal."""
