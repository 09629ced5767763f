"""The attributes of a face, the words for them, and free texts read for them."""
