"""Which adapter stands behind which port, and the life of the process: the only composition root."""
