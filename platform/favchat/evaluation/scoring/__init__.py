"""Scores answers against labels: metrics, baselines, intervals."""
