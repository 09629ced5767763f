"""From the labels of clips to summaries, questions and answers."""
