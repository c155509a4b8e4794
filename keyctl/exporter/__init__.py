"""`keyctl exporter`: looks again and again, keeps the last truth with its age, and serves it as metrics."""
