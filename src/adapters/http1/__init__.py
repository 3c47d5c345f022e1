"""The default upstream transport: HTTP/1.1 connection pools on asyncio, chunked framing by llhttp."""
