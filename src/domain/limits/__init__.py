"""Limits: what is allowed in which time, and the algorithms that count it."""
