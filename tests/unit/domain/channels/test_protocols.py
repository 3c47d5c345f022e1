"""What goes over the wire: event streams, Pusher messages and signatures, frames of clients, and the history."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as some

from spork.domain.channels import pusher
from spork.domain.channels.events import ChannelEvent
from spork.domain.channels.history import History, HistoryBounds
from spork.domain.http.websocket import BINARY, CLOSE, PING, TEXT
from spork.domain.http.websocket_messages import BAD_DATA, MessageReader, accept_of, text_frame, unmasked


def event(data: str = "", id: str = "1", at: float = 0.0, **fields: object) -> ChannelEvent:
    return ChannelEvent(("t",), data, id, at, **fields)  # type: ignore[arg-type]


def test_no_line_of_data_can_become_a_field() -> None:
    told = event("a\r\nid: 9\rb\n\nevent: x", type="kind", retry=10).sse
    assert told == b"event: kind\nretry: 10\nid: 1\ndata: a\ndata: id: 9\ndata: b\ndata: \ndata: event: x\n\n"


def test_a_frame_is_made_once_for_all_who_hear_it() -> None:
    made = event("x")
    assert made.frame("t", pusher.event_frame) is made.frame("t", pusher.event_frame)
    assert json.loads(made.frame("t", pusher.event_frame)[2:]) == {"event": "message", "channel": "t", "data": "x"}


def test_the_example_of_the_pusher_documentation() -> None:
    # pusher.com/docs/channels/library_auth_reference/rest-api, "Worked authentication example"
    body = b'{"name":"foo","channels":["project-3"],"data":"{\\"some\\":\\"data\\"}"}'
    query = [
        ("auth_key", "278d425bdf160c739803"), ("auth_timestamp", "1353088179"), ("auth_version", "1.0"),
        ("body_md5", "ec365a775a4cd0599faeb73354201b6f"),
        ("auth_signature", "da454824c97ba181a32ccc17a72625ba02771f50b50e1e7430e47a1f3f457e6c"),
    ]  # fmt: skip
    path, secret, key = "/apps/3/events", "7ad3773142a6692b25b8", "278d425bdf160c739803"
    assert pusher.request_fault(secret, key, "POST", path, query, body, 1353088179.0) == ""
    assert pusher.request_fault(secret, key, "POST", path, query, body, 1353088179.0 + 601) == "clock"
    assert pusher.request_fault(secret, key, "POST", path, query, body + b" ", 1353088179.0) == "body"
    assert pusher.request_fault(secret, key, "POST", "/apps/3/event", query, body, 1353088179.0) == "signature"
    assert pusher.request_fault(secret, key, "POST", path, [*query, query[0]], body, 1353088179.0) == "ambiguous"


def test_the_example_of_private_channels() -> None:
    # pusher.com/docs/channels/library_auth_reference/auth-signatures, "Worked example"
    signed = "278d425bdf160c739803:58df8b0c36d6982b82c3ecf6b4662e34fe8c25bba48f5369f135bf843651c3a4"
    arguments = ("278d425bdf160c739803", "7ad3773142a6692b25b8", signed, "1234.1234", "private-foobar")
    assert pusher.subscription_is_signed(*arguments)
    assert not pusher.subscription_is_signed(*arguments, '{"user_id":1}')


@given(some.lists(some.binary(max_size=300), min_size=1, max_size=4), some.integers(1, 40))
def test_messages_are_read_however_they_are_cut(pieces: list[bytes], step: int) -> None:
    mask = b"\x01\x80\xfe\x37"
    wire = b""
    for at, piece in enumerate(pieces):
        first = (TEXT if at == 0 else 0) | (0x80 if at == len(pieces) - 1 else 0)
        size = bytes((0x80 | len(piece),)) if len(piece) < 126 else b"\xfe" + len(piece).to_bytes(2, "big")
        wire += bytes((first,)) + size + mask + unmasked(piece, mask)
        wire += bytes((0x80 | PING, 0x80 | 1)) + mask + unmasked(b"!", mask)  # between fragments, too
    reader = MessageReader(10_000)
    found = [each for at in range(0, len(wire), step) for each in reader.feed(wire[at : at + step])]
    assert [payload for opcode, payload in found if opcode == TEXT] == [b"".join(pieces)]
    assert len(found) == 1 + len(pieces)


@pytest.mark.parametrize(
    ("wire", "code"),
    [
        (b"\x81\x01x", 1002),
        (b"\xc1\x80aaaa", 1002),
        (b"\x80\x80aaaa", 1002),
        (b"\x01\x80aaaa\x81\x80aaaa", 1002),
        (b"\x83\x80aaaa", 1002),
        (b"\x09\x80aaaa", 1002),
        (b"\x89\xfe\x00\x7eaaaa", 1002),
        (bytes((0x80 | BINARY, 0x80)) + b"aaaa", 1003),
        (b"\x81\xff" + (1 << 40).to_bytes(8, "big") + b"aaaa", 1009),
        (b"\x81\xfe\x01\x00aaaa", 1009),
    ],
)  # fmt: skip
def test_frames_that_break_the_protocol(wire: bytes, code: int) -> None:
    reader = MessageReader(200)
    assert reader.feed(wire) == []
    assert reader.violation == code


def test_nothing_is_read_behind_a_close() -> None:
    assert MessageReader(10).feed(b"\x88\x80aaaa\x81\x81aaaa\x00") == [(CLOSE, b"")]
    assert BAD_DATA == 1007


def test_the_handshake_of_the_rfc() -> None:
    assert accept_of(b"dGhlIHNhbXBsZSBub25jZQ==") == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    assert text_frame(b"x" * 70_000)[:10] == b"\x81\x7f" + (70_000).to_bytes(8, "big")


def test_a_history_forgets_by_number_age_and_bytes() -> None:
    history = History(HistoryBounds(events=3, age=10.0, bytes=5000))
    for number in range(5):
        history.add(event(id=str(number), at=float(number)))
    assert [each.id for each in history.after("earliest").events] == ["2", "3", "4"]
    assert history.after("3").events[0].id == "4"
    assert history.after("0").after == "earliest", "it is not there any more: a gap"
    history.add(event("x" * 4500, id="large", at=5.0))
    assert len(history) == 1
    history.trim(16.0)
    assert (len(history), history.size, history.last) == (0, 0, "large")


def test_of_two_with_one_id_the_earliest_counts() -> None:
    history = History(HistoryBounds())
    for id in ("a", "b", "a", "c"):
        history.add(event(id=id))
    assert [each.id for each in history.after("a").events] == ["b", "a", "c"]
