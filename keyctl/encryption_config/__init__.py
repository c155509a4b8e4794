"""The EncryptionConfiguration document: read as kube-apiserver reads it, explained, edited. Pure: text → text."""
