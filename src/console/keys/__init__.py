"""Every command of the console, the keys it has, the lines that name it."""
