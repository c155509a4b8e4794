"""One file an area. A check is a function with its rule above it; it judges facts and collects none."""
