"""What a running cluster shows, as facts: each file asks one kind of thing through an interface and judges nothing."""
