"""Every guard of the rules R1 to R18 taken away in turn: each must turn a test red. `make mutants` runs it."""
