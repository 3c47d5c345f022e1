"""Decisions for other proxies: what each front says of a request."""
