"""The pages whose commands take minutes, on a real control plane: `make docs`."""
