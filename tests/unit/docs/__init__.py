"""The pages and examples, without a server."""
