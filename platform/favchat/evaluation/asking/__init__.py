"""Sends questions to a model or a server and stores the answers."""
