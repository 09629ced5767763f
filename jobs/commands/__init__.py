"""The commands of the command line, by what they are about; each imports its job when it runs."""
