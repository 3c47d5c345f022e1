"""Which gateway and which token, and where a token never is."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from spork.console.gateway.contexts import BadContext, Context, choose, default_path, load, local

FILE = """
default = "lab"
[contexts.lab]
url = "http://127.0.0.1:9000/"
token_file = "{token}"
[contexts.prod-eu1]
url = "https://gw-eu1:9443"
production = true
token_command = ["{python}", "-c", "print('from command')"]
theme = "light"
poll = 2
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "token").write_text("from file\n")
    file = tmp_path / "console.toml"
    file.write_text(FILE.format(token=tmp_path / "token", python=sys.executable))
    return file


def test_contexts_are_read(path: Path) -> None:
    contexts, default = load(path)
    assert default == "lab"
    prod = contexts["prod-eu1"]
    assert (prod.url, prod.production, prod.theme, prod.poll) == ("https://gw-eu1:9443", True, "light", 2.0)
    assert prod.fetch_token({}) == "from command"
    assert contexts["lab"].fetch_token({}) == "from file"
    assert contexts["lab"].url == "http://127.0.0.1:9000"


def test_a_missing_file_has_no_contexts(tmp_path: Path) -> None:
    assert load(tmp_path / "none.toml") == ({}, "")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("x = ", "console.toml"),
        ("[contexts.a]\nproduction = true", "url is missing"),
        ('[contexts.a]\nurl = "u"\ntoken = "secret"', "unknown token"),
        ('[contexts.a]\nurl = "u"\ntoken_command = "pass show"', "is a list"),
        ('default = "b"\n[contexts.a]\nurl = "u"', "is no context"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "console.toml"
    file.write_text(text)
    with pytest.raises(BadContext, match=says):
        load(file)


def test_precedence_is_command_line_environment_file_directory(path: Path, tmp_path: Path) -> None:
    contexts, default = load(path)
    here = tmp_path
    env = {"SPORK_CONSOLE_URL": "http://env:1", "SPORK_ADMIN_TOKEN": "from env"}
    assert choose(contexts, default, {}, here).name == "lab"
    assert choose(contexts, default, env, here).url == "http://env:1"
    assert choose(contexts, default, env, here).fetch_token(env) == "from env"
    assert choose(contexts, default, env, here, url="http://cli:2", token="cli").url == "http://cli:2"
    assert choose(contexts, default, env, here, url="http://cli:2", token="cli").fetch_token(env) == "cli"
    kept = tmp_path / "kept"
    kept.write_text("from the named file\n")
    assert choose(contexts, default, env, here, token_file=str(kept)).fetch_token(env) == "from the named file"
    named = choose(contexts, default, env, here, name="prod-eu1")
    assert named.production
    assert named.fetch_token(env) == "from command"
    with pytest.raises(BadContext, match="there are: lab, prod-eu1"):
        choose(contexts, default, {}, here, name="prod-us1")


def test_the_gateway_of_this_directory_needs_no_configuration(tmp_path: Path) -> None:
    (tmp_path / ".spork").mkdir()
    (tmp_path / ".spork" / "admin-token").write_text("generated\n")
    assert choose({}, "", {}, tmp_path).fetch_token({}) == "generated"
    assert local(tmp_path, "http://elsewhere:9000").token_file == ""


@pytest.mark.parametrize(
    "context",
    [
        Context("a", token_file="/nonexistent/token"),
        Context("a", token_env="NOT_SET"),
        Context("a", token_command=("/nonexistent/program",)),
        Context("a", token_command=(sys.executable, "-c", "import sys; print('s3cret', file=sys.stderr); sys.exit(3)")),
    ],
)
def test_a_token_that_cannot_be_had_is_told_without_telling_it(context: Context) -> None:
    with pytest.raises(BadContext) as caught:
        context.fetch_token({})
    assert "s3cret" not in str(caught.value)


def test_a_context_is_printed_without_its_token() -> None:
    assert "s3cret" not in repr(Context("a", token="s3cret"))


def test_the_file_is_where_xdg_says(tmp_path: Path) -> None:
    assert default_path({"HOME": "/people/ana"}) == Path("/people/ana/.config/spork/console.toml")
    assert default_path({"XDG_CONFIG_HOME": str(tmp_path)}) == tmp_path / "spork" / "console.toml"
    assert default_path({"SPORK_CONSOLE_CONFIG": "/etc/x.toml"}) == Path("/etc/x.toml")
