"""What happens, in which order: the use cases of the gateway, driven by adapters through ports."""
