"""What lies in a corpus, as tables, pictures and a page."""
