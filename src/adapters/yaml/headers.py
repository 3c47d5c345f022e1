"""Header edits as written, to what is compiled."""

from __future__ import annotations

from collections.abc import Mapping

from spork.adapters.yaml import written
from spork.adapters.yaml.decode import Findings
from spork.application.configuration.problems import child
from spork.domain.http.edits import HeaderEdit


def octets(text: str, path: str, findings: Findings) -> bytes:
    """The bytes on the wire. Latin-1 as it stands; control characters never (RFC 9110 5.5)."""
    if any((ord(c) < 32 and c != "\t") or ord(c) == 127 for c in text):
        findings.add(path, "holds a control character")
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError as error:
        findings.add(path, f"holds {text[error.start]!r}, which no header can carry", "use ASCII")
        return b""


def translate_edit(edit: written.HeaderEdits, path: str, findings: Findings) -> HeaderEdit:
    def pairs(kind: str, given: Mapping[str, str]) -> tuple[tuple[bytes, bytes], ...]:
        below = child(path, kind)
        return tuple((n.lower().encode("latin-1"), octets(v, child(below, n), findings)) for n, v in given.items())

    return HeaderEdit(
        set=pairs("set", edit.set),
        add=pairs("add", edit.add),
        remove=frozenset(name.lower().encode("latin-1") for name in edit.remove),
    )
