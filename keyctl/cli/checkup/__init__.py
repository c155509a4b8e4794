"""What `keyctl doctor` looks at, dependency by dependency. Changes nothing."""
