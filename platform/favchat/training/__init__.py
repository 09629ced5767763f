"""The staged curriculum."""
