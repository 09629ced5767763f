"""The benchmarks, one module each, named as in ``evaluation.tasks``: its ``TASK`` says what is asked and scored."""
