"""Checks of what is said about OpenAPI documents: files that must be there, documents that nobody shows or uses."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from spork.application.configuration.model import Configuration
from spork.application.configuration.problems import Diagnostic, child


def check_openapi(configuration: Configuration, is_file: Callable[[str], bool] | None) -> Iterator[Diagnostic]:
    for upstream in configuration.upstreams:
        source = upstream.openapi
        if source is not None and source.file and is_file is not None and not is_file(source.file):
            place = child(child(child("upstreams", upstream.name), "openapi"), "file")
            yield Diagnostic(place, f"no file {source.file!r}", "paths are relative to the working directory")
    docs = configuration.docs
    if docs is None or is_file is None:
        return
    files = {"logo": docs.logo, "css": docs.css, **{f"intro[{at}]": name for at, name in enumerate(docs.intro)}}
    for key, name in files.items():
        if name and not is_file(name):
            yield Diagnostic(f"docs.{key}", f"no file {name!r}", "paths are relative to the working directory")
