"""Options of `spork register` that do not exist are errors, not the beginning of a command to run."""

from __future__ import annotations

from click.testing import CliRunner

from spork.cli.commands.register import register


def test_an_unknown_option_is_refused_by_name() -> None:
    ended = CliRunner().invoke(register, ["orders", "http://10.1.2.3:80", "--gatway", "http://127.0.0.1:9"])
    assert ended.exit_code == 2
    assert "--gatway" in ended.output
