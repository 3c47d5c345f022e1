"""Connections to Redis, scripts, and the health of the store."""
