"""What is told of a face in numbers: scores, how far they can be trusted, the track; needs no torch."""
