"""Distributed tracing without I/O: trace contexts, their spellings on the wire, and which traces are kept."""
