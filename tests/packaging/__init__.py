"""What is published, from the built files: sdist, wheel, container file, bill of materials. `make dist` uses it too."""
