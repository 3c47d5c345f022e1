"""Channels: topics, who may hear and speak on them, events, and the protocols they are told in."""
