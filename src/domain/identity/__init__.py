"""Callers: tokens, consumers, what they may do, revocation, signed requests."""
