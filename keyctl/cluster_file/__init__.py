"""The cluster file, `keyctl.yaml`: what it says, as settings. Nothing that is named in it is opened here."""
