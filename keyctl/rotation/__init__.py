"""Changing the key: observe, decide (pure), journal, act, observe again."""
