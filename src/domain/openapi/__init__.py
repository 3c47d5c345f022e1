"""OpenAPI documents as values: reading them, comparing them, without I/O."""
