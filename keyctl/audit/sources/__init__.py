"""One file a format: text in, facts with their places out. A new format is one file and one row in `table`."""
