"""The command line: parse, build, call one operation, print."""
