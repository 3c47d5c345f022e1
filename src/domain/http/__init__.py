"""HTTP: request heads, authorities, forwarding, client addresses."""
