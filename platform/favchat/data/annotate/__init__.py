"""Generates summaries, questions and answers from the labels of clips."""
