"""What the sources share: lists of entries, names of videos, annotation files, what cannot be used."""
