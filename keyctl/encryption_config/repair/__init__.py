"""Mending a file that kube-apiserver refuses: text to text. Pure; nothing is guessed about key bytes."""
