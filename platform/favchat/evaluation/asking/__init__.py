"""Questions put to a model or a server, and their answers kept."""
