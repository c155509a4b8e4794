"""The reference that is generated from the commands themselves: man pages, docs/reference/commands.md."""
