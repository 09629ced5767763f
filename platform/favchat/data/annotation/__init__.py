"""From the attributes of clips to summaries, questions and answers."""
