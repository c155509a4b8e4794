"""An exporter that runs for an hour beside real servers to which things happen."""
