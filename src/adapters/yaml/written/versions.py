"""Versions of APIs as written."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from spork.adapters.yaml.scalars import Duration, HeaderName, Instant
from spork.adapters.yaml.written.form import Written
from spork.adapters.yaml.written.transforms import Transform


class Select(Written, frozen=True):
    """One more place where a request may name a version."""

    header: Annotated[HeaderName | None, "A header whose value is the version's name."] = None
    accept: Annotated[
        str | None, "Accept: this parameter of a media type, or its vendor name (application/vnd.acme.v2+json)."
    ] = None
    query: Annotated[str | None, "A query parameter whose value is the version's name."] = None


class BrownoutTime(Written, frozen=True):
    """A time at which the version is away, so that its callers notice before it ends."""

    at: Annotated[str, "When: a date and time, or with `every` a time of day (10:00, UTC)."]
    for_: Annotated[Duration, "How long."] = msgspec.field(name="for")
    every: Annotated[Duration | None, "Again after each such span."] = None
    from_: Annotated[Instant | None, "With `every`: from this day on."] = msgspec.field(default=None, name="from")


class VersionExcept(Written, frozen=True):
    """Who is served all the same."""

    consumers: Annotated[tuple[str, ...], "Consumers."]


class Version(Written, frozen=True):
    """One version of an API. Dates without a zone are UTC."""

    upstream: Annotated[str, "Where its requests go."]
    transform: Annotated[
        Transform | None, "Changes that let another version serve this one; left out: the route's."
    ] = None
    since: Annotated[Instant | None, "When it came; `latest` is the last one to come."] = None
    deprecated: Annotated[Instant | None, "From when on it should not be used (RFC 9745)."] = None
    sunset: Annotated[Instant | None, "From when on it is no longer served (RFC 8594): 410."] = None
    docs: Annotated[str, "Where its callers read what to do."] = ""
    brownouts: Annotated[tuple[BrownoutTime, ...], "Times before the sunset at which it is away."] = ()
    except_: Annotated[VersionExcept | None, "Who is served after the sunset and in brownouts."] = msgspec.field(
        default=None, name="except"
    )


class Api(Written, frozen=True):
    """An API in several versions; routes with `api:` become one route per version."""

    versions: Annotated[dict[str, Version], "Versions by name, oldest first."]
    select: Annotated[
        tuple[Literal["path"] | Select, ...], "Where requests name a version; `path` is {version} in the route's match."
    ] = ("path",)
    default: Annotated[
        str,
        "What requests mean that name none: a version, latest, pinned (the consumer's, else the oldest), none (400).",
    ] = "none"
    keep_selector: Annotated[bool, "Send the target the header, parameter or path segment that named the version."] = (
        False
    )
