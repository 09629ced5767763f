"""Files: local and remote paths, atomic writes, records of the settings that a folder was made with."""
