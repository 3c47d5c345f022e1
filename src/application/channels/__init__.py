"""Channels: publish and subscribe for browsers and services, over event streams and WebSockets."""
