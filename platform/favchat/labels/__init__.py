"""The attributes of a face, templates of text about them, and a parser that finds them in text."""
