"""Runs the public suite of HTTP caches against a gateway and prints the score: `python tests/cache_suite.py SUITE_FOLDER`.

The folder is the suite as npm installs it, or a checkout of http-tests/cache-tests. A test counts when it and all it depends on pass;
those for browsers' caches only have no result and count for nothing.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.servers import free_port, gateway_process, listening

CONFIG = """access_log: "off"
upstreams:
  suite: {targets: [http://127.0.0.1:%d]}
routes:
  - {name: all, match: /*, upstream: suite, cache: true}
"""
_LIST = (
    "import(process.argv[1]).then(m => console.log(JSON.stringify(m.default.flatMap(s => s.tests.map(t =>"
    " ({id: t.id, kind: t.kind || 'required', suite: s.id, cdn: !!t.cdn_only, needs: t.depends_on || []}))))))"
)


@contextlib.contextmanager
def origin(suite: Path, port: int, folder: str) -> Iterator[None]:
    """The suite's own origin server."""
    server = next(
        path for path in (suite / "test-engine/server/server.mjs", suite / "server/server.mjs") if path.exists()
    )
    settings = {"port": str(port), "protocol": "http", "pidfile": f"{folder}/pid"}
    env = os.environ | {f"npm_config_{name}": value for name, value in settings.items()}
    env |= {f"npm_package_config_{name}": value for name, value in settings.items()}
    process = subprocess.Popen(["node", str(server)], cwd=suite, env=env, stdout=subprocess.DEVNULL)
    try:
        while not listening(port):
            time.sleep(0.05)  # between two looks at the port
        yield
    finally:
        process.kill()
        process.wait()


def run(suite: Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The suite's tests, and the result of each by id."""
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        with origin(suite, port, folder), gateway_process(CONFIG % port, Path(folder)) as gateway:
            cli = next(path for path in (suite / "test-engine/cli.mjs", suite / "cli.mjs") if path.exists())
            env = os.environ | {"npm_package_config_base": gateway.url, "npm_package_config_id": ""}
            done = subprocess.run(
                ["node", "--no-warnings", str(cli)], cwd=suite, env=env, capture_output=True, text=True, check=True
            )
            listed = subprocess.run(
                ["node", "-e", _LIST, str(suite / "tests/index.mjs")], capture_output=True, text=True, check=True
            )
    return json.loads(listed.stdout), json.loads(done.stdout)


def main() -> None:
    tests, results = run(Path(sys.argv[1]).resolve())
    known = {test["id"]: test for test in tests}

    def passes(name: str) -> bool:
        return results.get(name) is True and all(passes(needed) for needed in known[name]["needs"])

    for kind in ("required", "optimal", "check"):
        for cdn in (False, True):
            row = [t for t in tests if t["kind"] == kind and t["cdn"] is cdn and t["id"] in results]
            failed = [t for t in row if not passes(t["id"])]
            if row:
                print(f"{kind}{' (CDN)' if cdn else ''}: {len(row) - len(failed)} of {len(row)}")
            if kind != "check":
                for test in failed:
                    print(f"  {test['suite']}: {test['id']}: {results[test['id']]}")


if __name__ == "__main__":
    main()
