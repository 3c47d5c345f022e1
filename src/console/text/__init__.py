"""Words, numbers and cells as an operator reads them. Nothing here knows a gateway."""
