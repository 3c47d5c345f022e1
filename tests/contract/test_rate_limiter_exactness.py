"""Exactly the quota over two processes and one Redis, also when one process's clock is minutes off."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid

import pytest

from tests.servers import ROOT, python_env


def admitted_by_two(url: str, algorithm: str, offset: float, requests: int = 250, quota: int = 50) -> list[int]:
    prefix = uuid.uuid4().hex
    command = [sys.executable, str(ROOT / "tests" / "limit_worker.py"), url, prefix, algorithm, str(quota), "1000000"]
    workers = [
        subprocess.Popen(
            [*command, str(requests), str(skew)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=python_env(),
        )
        for skew in (0.0, offset)
    ]
    try:
        for worker in workers:
            assert worker.stdout is not None
            assert worker.stdout.readline() == "ready\n"
        for worker in workers:
            assert worker.stdin is not None
            worker.stdin.write("\n")
            worker.stdin.flush()
        results = [json.loads(worker.communicate(timeout=60)[0]) for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    assert [result["alone"] for result in results] == [0, 0]
    return [result["admitted"] for result in results]


@pytest.mark.parametrize("offset", [0.0, 300.0, -300.0])
@pytest.mark.parametrize("algorithm", ["gcra", "sliding_window", "sliding_log", "fixed_window", "calendar"])
def test_five_hundred_at_once_over_two_processes(redis_url: str, algorithm: str, offset: float) -> None:
    admitted = admitted_by_two(redis_url, algorithm, offset)
    assert sum(admitted) == 50, admitted
