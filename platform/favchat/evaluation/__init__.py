"""Benchmarks: questions with known answers, asked of a model; metrics with intervals, baselines and reports."""
