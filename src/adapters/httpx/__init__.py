"""The alternative upstream transport: HTTP/2 targets, and targets behind a forward proxy, through httpx."""
