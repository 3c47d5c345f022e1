"""Asks a gateway on this machine for /health; exit 0 when it answers 200. For container health checks and systemd.

usage: healthcheck.py [HOST:PORT]   (default: the port of SPORK_LISTEN on 127.0.0.1)
"""

from __future__ import annotations

import os
import ssl
import sys
import urllib.error
import urllib.request


def answers(url: str) -> bool:
    """Whether `url` is answered with 200 within two seconds. The certificate is not judged: it is this machine's own."""
    trusting = ssl.create_default_context()
    trusting.check_hostname = False
    trusting.verify_mode = ssl.CERT_NONE
    try:
        with urllib.request.urlopen(url, timeout=2, context=trusting) as answer:
            return bool(answer.status == 200)
    except (OSError, ValueError):
        return False


def main() -> int:
    listen = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("SPORK_LISTEN", "127.0.0.1:8000")
    address = listen if len(sys.argv) > 1 else f"127.0.0.1:{listen.rpartition(':')[2]}"
    return 0 if answers(f"http://{address}/health") or answers(f"https://{address}/health") else 1


if __name__ == "__main__":
    sys.exit(main())
