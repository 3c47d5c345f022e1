"""The `spork` command."""
