"""Files: local and remote paths, files that are whole or absent, records of the settings a folder was made with."""
