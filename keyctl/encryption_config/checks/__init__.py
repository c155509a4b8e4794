"""What kube-apiserver accepts although it is wrong: findings about a configuration that loads. Pure."""
