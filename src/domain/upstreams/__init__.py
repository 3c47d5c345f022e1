"""Upstreams: targets, balancing, health, circuits, retries."""
