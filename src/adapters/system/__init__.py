"""What the operating system says: clocks and the process itself."""
