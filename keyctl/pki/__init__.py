"""X.509: issue certificates, read them, and find the stage at which a TLS connection fails."""
