"""Keys: what they are, where they are kept, and the ledger of their lives."""
