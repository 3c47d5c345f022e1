"""The console without Textual: commands that print, and the first picture."""
