"""What state a cluster's encryption is in, however it came there: facts in, findings and the next safe step out."""
