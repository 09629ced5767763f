"""The Serve application: media, encoder and engine behind an OpenAI-compatible API."""
