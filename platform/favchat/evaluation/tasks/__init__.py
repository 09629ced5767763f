"""The benchmarks, one module each, named as in ``evaluation.tasks``: its ``TASK`` defines questions and scoring."""
