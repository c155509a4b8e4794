"""Is it really encrypted? A source of values and a configuration go in, a verdict and a report come out."""
