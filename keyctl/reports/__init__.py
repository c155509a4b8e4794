"""One file a format. A renderer takes a `Report` and gives text back; it knows no command, and opens no file."""
