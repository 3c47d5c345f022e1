"""Routing: patterns, the route table, precedence, conflicts."""
