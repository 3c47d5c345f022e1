"""Transforms of a route as written: queries, JSON bodies, statuses, masks."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from spork.adapters.yaml.scalars import Count, HeaderName, Method, Size, Status, Statuses
from spork.adapters.yaml.written.form import Written
from spork.domain.transforms.policy import MOST


class QueryEdits(Written, frozen=True):
    """Changes of the query towards the target; what is not named stays byte for byte."""

    set: Annotated[
        dict[str, str], "Parameters put in place of any of that name; {claim:org} and the like are filled in."
    ] = msgspec.field(default_factory=dict)
    rename: Annotated[dict[str, str], "Parameters that get another name: old to new."] = msgspec.field(
        default_factory=dict
    )
    remove: Annotated[tuple[str, ...], "Parameters taken away."] = ()
    keep: Annotated[tuple[str, ...], "The only parameters that may pass; empty: all."] = ()


class JsonOperation(Written, frozen=True):
    """One operation on a JSON body; pointers are RFC 6901, `*` as a whole token is every member or element."""

    set: Annotated[str | None, "Pointer of what gets the value `to`."] = None
    remove: Annotated[str | None, "Pointer of what is taken out."] = None
    rename: Annotated[str | None, "Pointer of the member that gets the name `to`."] = None
    move: Annotated[str | None, "Pointer of what goes to the pointer `to`."] = None
    merge: Annotated[Any, "A merge patch (RFC 7396)."] = None
    to: Annotated[Any, "Value, name or pointer, by operation; texts may hold {claim:org} and the like."] = None


class MaskExcept(Written, frozen=True):
    """Callers that a mask does not concern."""

    scopes: Annotated[tuple[str, ...], "One of these scopes suffices."]


class MaskFields(Written, frozen=True):
    """What of an answer a caller may not read."""

    fields: Annotated[tuple[str, ...], "Member names, at any depth, and pointers (`/card/number`)."]
    how: Annotated[
        Literal["mask", "hash", "remove"], "`***`, a keyed hash (the same for the same value), or nothing at all."
    ] = "mask"
    keep_last: Annotated[Count, "Last characters of a masked text that stay readable, if it is twice as long."] = 0
    except_: Annotated[MaskExcept | None, "Callers that see everything."] = msgspec.field(default=None, name="except")


class RequestTransform(Written, frozen=True):
    """Changes of requests."""

    query: Annotated[QueryEdits | None, "Changes of the query."] = None
    json: Annotated[tuple[JsonOperation, ...], "Operations on JSON bodies, in this order."] = ()


class ResponseTransform(Written, frozen=True):
    """What becomes of a target's answers with these statuses."""

    statuses: Annotated[tuple[Statuses, ...], "Statuses it is about: 200 or 200-299; empty: every one."] = ()
    json: Annotated[tuple[JsonOperation, ...], "Operations on JSON bodies, in this order."] = ()
    mask: Annotated[MaskFields | None, "What is hidden, after the cache."] = None
    to: Annotated[Status | None, "The status instead."] = None
    body: Annotated[Any, "A JSON body instead of the target's."] = None
    problem: Annotated[str, "Slug of a problem document of the gateway's own instead of the target's body."] = ""


class TransformWhen(Written, frozen=True):
    """Which requests are transformed: all that is said must hold."""

    headers: Annotated[
        dict[HeaderName, str | None], "Headers with exactly this value; empty (null): merely present."
    ] = msgspec.field(default_factory=dict)
    query: Annotated[dict[str, str | None], "Query parameters likewise."] = msgspec.field(default_factory=dict)
    methods: Annotated[tuple[Method, ...], "Methods; empty: any."] = ()
    consumers: Annotated[tuple[str, ...], "Consumers."] = ()
    plans: Annotated[tuple[str, ...], "Plans."] = ()
    roles: Annotated[tuple[str, ...], "Roles, one of which is enough."] = ()


class Transform(Written, frozen=True):
    """Changes of requests and answers."""

    request: Annotated[RequestTransform, "Requests."] = RequestTransform()
    response: Annotated[
        tuple[ResponseTransform, ...], "Answers; every rule whose statuses fit applies, in this order."
    ] = ()
    when: Annotated[TransformWhen, "Only requests that look so."] = TransformWhen()
    shape: Annotated[str, "JMESPath expression that makes the body of a 2xx answer."] = ""
    bytes: Annotated[Size, "Largest body that is transformed."] = MOST
    larger: Annotated[Literal["refuse", "pass"], "What happens to a larger one; masked routes always refuse."] = (
        "refuse"
    )
    on_other: Annotated[Literal["pass", "refuse"], "What happens to bodies that are not JSON; masked ones refuse."] = (
        "pass"
    )
    strict: Annotated[bool, "What is to be removed, renamed or moved must be there."] = False
