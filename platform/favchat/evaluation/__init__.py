"""Benchmarks: evaluation questions with known answers, metrics with intervals, baselines and reports."""
