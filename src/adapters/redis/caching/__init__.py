"""Stored answers and purges that a fleet shares."""
