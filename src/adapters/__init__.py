"""How: one folder per technology, named after the package it imports. `container.py` is the composition root."""
