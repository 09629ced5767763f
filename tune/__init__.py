"""Sweeps over settings, with Ray Tune."""
