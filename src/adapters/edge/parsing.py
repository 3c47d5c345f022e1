"""From bytes to requests: what llhttp hands over is counted, judged and made a `Cycle`, or a refusal.

Theory. llhttp guarantees the grammar of what it hands over (tokens, no bare CR or LF, one numeric Content-Length, never
together with Transfer-Encoding); what it leaves open is decided here, before anything runs (RFC 9112, docs/edge.md). It
shows a name, value or target only when it is whole and sets no limits, so that bytes are counted as they come as well.
A subclass supplies the four steps at the bottom: what becomes of a request, and of bytes behind it.
"""

from __future__ import annotations

from typing import Final, cast

# httptools is uvicorn's parser here (`uvicorn[standard]`); the edge's promises hold for it alone, never for h11.
from httptools import HttpParserError, HttpParserInvalidMethodError, HttpParserUpgrade, HttpRequestParser

from spork.adapters.edge.cycle import ServerExchange
from spork.adapters.edge.edge import DECISIVE, Edge, log
from spork.adapters.edge.line import Line
from spork.domain.http.authority import authority
from spork.domain.http.head import (
    BAD_FRAMING,
    BAD_HEADER_NAME,
    BAD_HOST,
    BAD_METHOD,
    BAD_TARGET,
    BAD_VERSION,
    HEAD_TOO_LARGE,
    INTERNAL_ERROR,
    MALFORMED,
    METHODS,
    TARGET_TOO_LONG,
    UNKNOWN_HOST,
    Header,
    RequestHead,
    expectation,
    shown,
    split_target,
    transfer_coding,
    websocket_upgrade,
)
from spork.domain.outcomes import Denial, FaultKind

NEVER: Final = float("inf")

#: Bytes parsed at once inside a chunked body: as many bytes of a head may come unannounced behind it.
BODY_SLICE: Final = 16384
#: Chunked framing may cost this much, and this much per byte of body, before it counts as an attack.
_FRAMING_SLACK: Final = 16384
_FRAMING_RATIO: Final = 16

_METHOD_NAMES: Final = {method.encode("ascii"): method for method in METHODS}
#: Fields that decide how a request is read, in their usual spellings; any other is only carried.
_DECISIVE: Final = {name: name.lower() for name in (*DECISIVE, b"Host", b"Content-Length", b"Transfer-Encoding")}
_NO_NAMES: Final[dict[bytes, bytes]] = {}


class _StopParsing(Exception):
    """Ends parsing from inside a parser callback; the refusal is in line already."""


class _BodyAfterUpgrade:
    """Hands the callbacks of a parser on to `parsing`, once the head that was made up for it is over.

    llhttp ends every message that wants an upgrade with its head. Where we ignore the wish (RFC 9110 7.8) its body, and
    what follows, are read by a fresh parser, which a made-up head tells how the body is framed.
    """

    def __init__(self, parsing: RequestParsing, length: int | None, keep_alive: bool) -> None:
        self._parsing = parsing
        self._made_up = True
        parsing.parser = HttpRequestParser(self)
        framing = b"transfer-encoding: chunked" if length is None else b"content-length: %d" % length
        close = b"" if keep_alive else b"\r\nconnection: close"
        parsing.parser.feed_data(b"POST / HTTP/1.1\r\nhost: a\r\n" + framing + close + b"\r\n\r\n")
        self._made_up = False

    def on_message_begin(self) -> None:
        if not self._made_up:
            self._parsing.on_message_begin()

    def on_url(self, url: bytes) -> None:
        if not self._made_up:
            self._parsing.on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._made_up:
            self._parsing.on_header(name, value)

    def on_headers_complete(self) -> None:
        if not self._made_up:
            self._parsing.on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._parsing.on_body(body)

    def on_message_complete(self) -> None:
        self._parsing.on_message_complete()


class RequestParsing(Line):
    """The reading half of a connection."""

    def __init__(self, edge: Edge) -> None:
        self.edge = edge
        self.parser = HttpRequestParser(self)
        self.peer = ""
        self.peer_port = 0
        self.scheme = "http"
        self.url = b""
        self.certificate: dict[str, object] | None = None
        #: When the sweeper calls `expire`, on the edge's coarse clock.
        self.deadline = NEVER
        self.serving: ServerExchange | None = None
        self._parsing: ServerExchange | None = None
        self._discarding = False
        self._ending = False
        self._buffered = 0
        self._upgrade_data: list[bytes] | None = None
        #: The request being parsed asks for an upgrade that is ignored; and llhttp will end it with its head.
        self._upgrade_ignored = False
        self._cut_short = False
        #: Whether the connection's first request begins as one of a method could that only we do not know.
        self._began_with_a_word = False
        self._in_head = False
        self._head_bytes = 0
        self._framing = 0
        self._patience = edge.body_grace
        self._counted = 0
        self._trailer_bytes = 0
        self._trailers = 0
        self._fields: list[Header] = []
        self._decisive: dict[bytes, list[bytes]] | None = None
        self._host: bytes | None = None
        self._names: dict[bytes, bytes] = edge.names
        #: The message's own method where llhttp was told another one, and what has come of a method so far.
        self._method = ""
        self._begun = b""
        #: What is being parsed, if the next head begins where it begins; else b"".
        self._fed: bytes | memoryview = b""

    def _feed(self, data: bytes | memoryview) -> None:
        cycle = self._parsing
        before = cycle.received if cycle is not None and not cycle.complete else -1
        if self.edge.methods and not self._in_head and before < 0:
            data = self._disguised(bytes(data))
            if not data:
                return
        self._fed = b"" if self._in_head or before >= 0 else data
        try:
            self.parser.feed_data(data)
        except HttpParserUpgrade as upgrade:
            at = upgrade.args[0]
        except HttpParserError as error:
            self._parser_failed(error)
            return
        else:
            at = -1
        if at >= 0:
            if self._upgrade_ignored:
                self._go_on_plainly(data[at:])
                return
            self._buffered = 0
            self._upgrade_data = []
            rest = bytes(data[at:])
            if rest:
                self._keep(self._upgrade_data, rest)
            return
        if self._in_head:
            self._count_head(len(data))
        elif before >= 0 and cycle is self._parsing and cycle is not None and not cycle.complete:
            self._count_framing(cycle, len(data) - cycle.received + before)

    def _disguised(self, data: bytes) -> bytes:
        """The beginning of a message in which a method that llhttp does not know is called POST, whose framing it shares; b""
        when more is needed to tell. Only a message that begins where what was read begins can have such a method."""
        data = (self._begun + data).lstrip(b"\r\n")
        self._begun = b""
        word, space, rest = data.partition(b" ")
        if space:
            if word not in self.edge.methods:
                return data
            self._method = word.decode("ascii")
            return b"POST " + rest
        if any(method.startswith(data) for method in self.edge.methods):
            self._begun = data
            self.deadline = min(self.deadline, self.edge.now + self.edge.limits.header_timeout)
            return b""
        return data

    def _go_on_plainly(self, rest: bytes | memoryview) -> None:
        """The request's wish for an upgrade is ignored: read its body, if it has one, and what follows."""
        self._upgrade_ignored = False
        cycle = self._parsing
        if cycle is None or cycle.complete:
            self.parser = HttpRequestParser(self)
        else:
            _BodyAfterUpgrade(self, cycle.length, cycle.keep_alive)
        if rest:
            self._feed(rest)

    def _count_head(self, size: int) -> None:
        """Count bytes of an unfinished head, whatever they are: fields in the making, or padding.

        The bound is looser than the limit on fields, which is exact and does not depend on how the bytes arrive.
        """
        self._head_bytes += size
        limits = self.edge.limits
        if self._head_bytes > limits.target_bytes + 2 * limits.header_bytes + BODY_SLICE:
            self._refuse(HEAD_TOO_LARGE if len(self.url) <= limits.target_bytes else TARGET_TOO_LONG)

    def _count_framing(self, cycle: ServerExchange, size: int) -> None:
        """Count bytes of chunked framing, among them extensions and trailers still in the making."""
        self._framing += size
        if self._framing > _FRAMING_SLACK + _FRAMING_RATIO * cycle.received:
            self._break_body(cycle, FaultKind.BODY_MALFORMED)

    def _parser_failed(self, error: HttpParserError) -> None:
        cause = error.__context__
        if isinstance(cause, _StopParsing):
            return
        if cause is not None and not isinstance(cause, HttpParserError):
            log.error("The edge failed while parsing", exc_info=cause)
            self._refuse(INTERNAL_ERROR)
            return
        cycle = self._parsing
        if cycle is not None and not cycle.complete and not self._in_head:
            self._break_body(cycle, FaultKind.BODY_MALFORMED)
        elif cycle is not None and not self._in_head and not cycle.keep_alive:
            self._discarding = True  # bytes behind a request that said `close` are nobody's (RFC 9112 9.6)
        elif isinstance(error, HttpParserInvalidMethodError) and self._began_with_a_word:
            self._refuse(BAD_METHOD)
        else:
            self._refuse(MALFORMED)

    def _break_body(self, cycle: ServerExchange, kind: FaultKind) -> None:
        """The body being parsed is beyond repair: its exchange hears of it, the connection hears no more."""
        self._discarding = True
        cycle.break_body(kind)
        if cycle.finished:
            self._linger()

    # -- what llhttp calls -------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self.url = b""
        self._fields = []
        self._decisive = None
        self._host = None
        self._names = self.edge.names
        self._in_head = True
        # A later request's first byte cannot be told: it is refused as malformed.
        self._began_with_a_word = self._parsing is None and bytes(self._fed[:64]).lstrip(b"\r\n")[:1].isupper()
        self.deadline = self.edge.now + self.edge.limits.header_timeout

    def on_url(self, url: bytes) -> None:
        # Whether it is too long is said when the head is whole: what is malformed behind it is malformed however the bytes
        # arrive. Of one that is too long no more is kept than tells so.
        if not self.url:
            self.url = url
        elif len(self.url) <= self.edge.limits.target_bytes:
            self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        lower = self._names.get(name)
        if lower is None:
            self._weigh(name, value)
            return
        if value and value[-1] <= 32:  # llhttp leaves trailing white space on, which is not part of the value
            value = value.rstrip(b" \t")
        self._fields.append((lower, value))

    def _weigh(self, name: bytes, value: bytes) -> None:
        """A field that decides something, whose name was not seen before, or that is a trailer."""
        if not self._in_head:
            self._drop_trailer(name, value)
            return
        lower = _DECISIVE.get(name) or self.edge.name(name)
        if lower is None:
            self._stop(BAD_HEADER_NAME)
            return
        if not lower:
            return
        value = value.rstrip(b" \t")
        if lower == b"host" and self._host is None:
            self._host = value
        elif lower in _DECISIVE:
            if self._decisive is None:
                self._decisive = {}
            self._decisive.setdefault(lower, []).append(value)
        self._fields.append((lower, value))

    def _drop_trailer(self, name: bytes, value: bytes) -> None:
        """Trailers are counted and dropped: merged into headers they would be unverified ones (RFC 9110 6.5.1)."""
        self._trailers += 1
        self._trailer_bytes += len(name) + len(value) + 4
        limits = self.edge.limits
        if self._trailers > limits.header_fields or self._trailer_bytes > limits.header_bytes:
            cycle = self._parsing
            assert cycle is not None
            self._break_body(cycle, FaultKind.BODY_MALFORMED)
            raise _StopParsing

    def on_headers_complete(self) -> None:
        if len(self.url) > self.edge.limits.target_bytes:
            self._stop(TARGET_TOO_LONG)
        self._check_size()
        parser = self.parser
        word = parser.get_method()
        # The version is looked up only where the request line is not seen to be a plain one of 1.1: asking the parser
        # formats a text each time.
        if self._fed[len(word) + len(self.url) + 1 : len(word) + len(self.url) + 12] == b" HTTP/1.1\r\n":
            version = "1.1"
        else:
            version = parser.get_http_version()
            if version != "1.1" and version != "1.0":
                self._stop(BAD_VERSION)
        self._fed = b""
        method: str | None = self._method
        if method:
            self._method = ""
        else:
            method = _METHOD_NAMES.get(word)
        if method is None:
            self._stop(BAD_METHOD)
            return
        denial: Denial | None = None
        self._upgrade_ignored = False
        edge = self.edge
        host: bytes | Denial = b""
        if self._host is not None:
            host = edge.host(self._host)
        else:
            host = BAD_HOST if version == "1.1" else edge.no_host()
        if host.__class__ is not bytes:
            denial = cast(Denial, host)
            host = b""
            if denial is UNKNOWN_HOST and edge.answers_any_host(self.url):
                denial = None
                host = authority((self._host or b"").strip(b" \t")) or b""
        path: bytes = b""
        query: bytes | None = None
        if denial is None:
            target = split_target(method, self.url, host, edge.keeps_slashes)
            if target.__class__ is tuple:
                path, query = target
                if edge.keeps_slashes and edge.gateway is not None and b"%2F" in path and edge.is_own(path):
                    denial = BAD_TARGET
                if edge.exact_below and path.startswith(edge.exact_below) and not self.url.startswith(path):
                    denial = BAD_TARGET
            else:
                denial = cast(Denial, target)
        head = RequestHead(
            method,
            path,
            query,
            tuple(self._fields),
            self.scheme,
            host,
            version,
            self.peer,
            self.peer_port,
            self.certificate,
        )
        if denial is not None:
            self._note_refused(head)
        length: int | None = 0
        expect = False
        if self._decisive is not None:
            verdict = self._judge(head)
            if verdict.__class__ is tuple:
                length, expect = verdict
            else:
                denial = cast(Denial, verdict) if denial is None or not denial.close else denial
                if denial.close:
                    length = None  # whether a body follows is what cannot be told: the client may still be sending
                self._note_refused(head)
        self._in_head = False
        self._names = _NO_NAMES
        self._head_bytes = 0
        self._framing = self._trailer_bytes = self._trailers = 0
        self.deadline = NEVER
        cycle = ServerExchange(self, head, length, expect, parser.should_keep_alive(), edge.limits.body_bytes, denial)
        self._parsing = cycle
        self._cut_short = self._upgrade_ignored and length != 0 and parser.should_upgrade()
        if length != 0:
            self._patience = edge.body_grace
            self._counted = 0
        if denial is not None and (denial.close or length != 0 or head.upgrade):
            cycle.keep_alive = False
            self._line_up(cycle)
            self._discarding = True
            raise _StopParsing
        self._line_up(cycle)

    def _check_size(self) -> None:
        """The limits on fields. Summed up only when the bytes that came could exceed the limit at all."""
        limits = self.edge.limits
        fields = self._fields
        if len(fields) > limits.header_fields:
            self._stop(HEAD_TOO_LARGE)
        possible = self._head_bytes + BODY_SLICE > limits.header_bytes
        if possible and sum(len(name) + len(value) + 4 for name, value in fields) > limits.header_bytes:
            self._stop(HEAD_TOO_LARGE)

    def _judge(self, head: RequestHead) -> tuple[int | None, bool] | Denial:
        """Body length (None: chunked) and whether 100-continue is expected, of a request with decisive fields."""
        said = self._decisive or {}
        if b"host" in said:
            return BAD_HOST
        lengths = said.get(b"content-length")
        codings = said.get(b"transfer-encoding")
        length: int | None = 0
        if codings is not None:
            length = None
            denial = transfer_coding(codings, head.version, lengths is not None)
            if denial is not None:
                return denial
        elif lengths is not None:
            if len(lengths) != 1 or not lengths[0].isdigit():
                return BAD_FRAMING
            length = int(lengths[0])
        upgrades = said.get(b"upgrade")
        if upgrades is not None and len(upgrades) == 1 and upgrades[0].lower() == b"h2c":
            self._upgrade_ignored = True  # many clients offer it with every request; HTTP/1.1 it is (RFC 9110 7.8)
        elif upgrades is not None:
            denial = websocket_upgrade(head, length != 0)
            if denial is not None:
                return denial
            head.upgrade = True
        expected = said.get(b"expect")
        if expected is None:
            return length, False
        denial = expectation(expected)
        if denial is not None:
            return denial
        return length, length != 0 and head.version == "1.1"

    def on_body(self, body: bytes) -> None:
        cycle = self._parsing
        if cycle is not None:
            cycle.feed(body)

    def on_message_complete(self) -> None:
        cycle = self._parsing
        if cycle is None:
            return
        if self._cut_short:
            self._cut_short = False
            return
        cycle.end()
        if cycle.finished and cycle is self.serving and not self._ending:
            self._next()

    # -- refusals and what a subclass supplies -----------------------------------------------------------------------

    def _stop(self, denial: Denial) -> None:
        self._refuse(denial)
        raise _StopParsing

    def _refuse(self, denial: Denial) -> None:
        """Put a refusal in line that ends the connection; nothing more is parsed."""
        self._in_head = False
        self._discarding = True
        method = _METHOD_NAMES.get(self.parser.get_method(), "-")
        if not self.url and method != "HEAD":  # what the parser calls its method before it has read one
            method = "-"
        head = RequestHead(method, b"", None, (), self.scheme, b"")
        self._note_refused(head)
        self._line_up(ServerExchange(self, head, 0, False, False, 0, denial))

    def _note_refused(self, head: RequestHead) -> None:
        """Put into the head of a refusal what the log may say of it: bounded, and cleaned of what could pass for more."""
        head.peer = self.peer
        head.path = head.path or shown(self.url.partition(b"?")[0])
        head.host = head.host or shown(self._host or b"")

    def _line_up(self, cycle: ServerExchange) -> None:
        """Serve `cycle` when its turn comes."""
        raise NotImplementedError

    def _next(self) -> None:
        """The request being served is whole and answered: go on."""
        raise NotImplementedError

    def _linger(self) -> None:
        """End the connection so that the client can read what was answered."""
        raise NotImplementedError

    def _keep(self, where: list[bytes], data: bytes) -> None:
        """Put bytes aside that cannot be parsed yet."""
        raise NotImplementedError
