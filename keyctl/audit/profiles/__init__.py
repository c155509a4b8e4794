"""One file a profile: which checks, under which control of the framework, and where that is known from."""
