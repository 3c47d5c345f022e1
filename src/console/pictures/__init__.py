"""What is shown, as lines of text: tables, tiles, details, the status line. No screen."""
