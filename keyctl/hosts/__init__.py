"""Where each API server's files live, and how it is made to read them again."""
