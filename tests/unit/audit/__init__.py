"""What `keyctl audit` reads and judges, without a cluster."""
