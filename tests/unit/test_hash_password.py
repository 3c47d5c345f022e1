"""`spork token hash-password` in a pipe."""

import pytest
from click.testing import CliRunner

from spork.adapters.argon2.passwords import Argon2Passwords
from spork.cli.main import spork


@pytest.mark.parametrize("arguments", [[], ["--password", "-"]])
@pytest.mark.parametrize("typed", ["open sesame\n", "open sesame\r\n", "open sesame"])
def test_a_password_may_come_through_a_pipe(arguments: list[str], typed: str) -> None:
    said = CliRunner().invoke(spork, ["token", "hash-password", *arguments], input=typed)
    assert said.exit_code == 0, said.output
    assert Argon2Passwords().matches(said.output.strip(), b"open sesame")


def test_an_empty_one_is_none() -> None:
    said = CliRunner().invoke(spork, ["token", "hash-password"], input="\n")
    assert said.exit_code == 1
    assert "one character" in said.output
