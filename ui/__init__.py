"""The browser demo, a client of the served application."""
