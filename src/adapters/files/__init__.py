"""Files that the gateway keeps: its state, and its log lines."""
