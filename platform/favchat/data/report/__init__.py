"""Reports on a corpus: tables, images and an HTML page."""
