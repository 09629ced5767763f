"""Reports and comparisons of evaluations."""
