"""JSON read and written for transforms: numbers keep their digits, requests may not say a thing twice."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any, Final

import msgspec

from spork.application.exchange.json_values import NotJson
from spork.domain.http.strict_json import members_once, no_constant

_decode: Final = msgspec.json.Decoder(float_hook=Decimal).decode
_encode: Final = msgspec.json.Encoder(decimal_format="number").encode
_BOM: Final = b"\xef\xbb\xbf"


class MsgspecJson:
    """Implements `json_values.JsonValues`. msgspec reads answers; the standard library reads requests, for it tells twins apart."""

    def read_answer(self, data: bytes) -> Any:
        """A target's JSON. Raises NotJson. Of a member that stands twice the last one counts, as everywhere."""
        try:
            return _decode(data.removeprefix(_BOM))
        except (ValueError, RecursionError, msgspec.MsgspecError) as error:
            raise NotJson("not JSON") from error

    def read_request(self, data: bytes) -> Any:
        """A client's JSON. Raises NotJson also for members that stand twice: the target might read the other one."""
        try:
            return json.loads(
                data.decode("utf-8"), object_pairs_hook=members_once, parse_float=Decimal, parse_constant=no_constant
            )
        except UnicodeDecodeError as error:
            raise NotJson("not UTF-8") from error
        except RecursionError as error:
            raise NotJson("nested too deeply") from error
        except ValueError as error:
            raise NotJson(f"not JSON: {error}") from error

    def write(self, value: Any) -> bytes:
        """Raises NotJson for text that no UTF-8 can carry."""
        try:
            encoded: bytes = _encode(value)
            return encoded
        except (ValueError, TypeError, RecursionError, msgspec.MsgspecError) as error:
            raise NotJson("cannot be written as JSON") from error
