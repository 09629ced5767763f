"""Answers compared with what is known: metrics, baselines, intervals."""
