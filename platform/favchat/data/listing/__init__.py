"""Shared parts of the sources: lists of entries, video file names, annotation files, rejects."""
