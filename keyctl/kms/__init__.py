"""KMS v2 plugins: asked the way kube-apiserver asks them, and judged. Opens no stored value, and keeps no key."""
