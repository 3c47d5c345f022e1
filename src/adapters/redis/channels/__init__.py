"""Channels of a fleet over Redis."""
