"""Changes that a rotation makes to a file: text to text, everything not concerned kept byte for byte. Pure."""
