"""The public clients of both fronts against the gateway: pusher-js and pusher, eventsource.

Needs node and `tests/system/channel_clients/node_modules` (`npm ci` in that directory, which .ci/run does).
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

from tests import servers
from tests.servers import gateway_process

HERE = Path(__file__).parent / "channel_clients"
SECRET = "a secret of the pusher application"
CONFIG = f"""
access_log: off
edge: {{drain_delay: 0s, grace: 1s}}
channels:
  pusher: {{key: spork, secret: "{SECRET}"}}
  rules: [{{match: "public-*", subscribe: anonymous}}]
"""


def test_the_public_clients_are_served_as_they_are(tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None or not (HERE / "node_modules" / "pusher-js").exists():
        servers.missing("node with pusher-js (npm ci in tests/system/channel_clients)")
    assert node is not None
    with gateway_process(CONFIG, tmp_path) as gateway:
        command = [node, str(HERE / "clients.mjs"), str(gateway.port), SECRET]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "triggered": {"n": 1},
        "batched": {"n": 2},
        "client_event": {"a": "b"},
        "members": 2,
        "added": "bob",
        "users": ["ann", "bob"],
        "channels": {"presence-room": {"user_count": 2}},
        "removed": "bob",
        "event_source": ['{"v":3}', True],
    }
