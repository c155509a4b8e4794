"""What a configuration means, shown: per resource, in words, and beside another one. Pure."""
