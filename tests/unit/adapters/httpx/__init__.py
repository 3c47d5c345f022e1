"""What only the httpx transport can do."""
