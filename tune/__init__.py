"""The sweep over expert counts."""
