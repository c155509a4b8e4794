"""Long comparisons with kube-apiserver's own code, for make targets of their own."""
