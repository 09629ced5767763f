"""What the jobs run on: Ray, its resources, threads, ports, progress on a terminal."""
