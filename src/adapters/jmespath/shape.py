"""JMESPath expressions over answers: the one expression language of transforms."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import jmespath  # type: ignore[import-untyped]
from jmespath.exceptions import JMESPathError  # type: ignore[import-untyped]

from spork.application.exchange.json_values import NotJson


def compile_shape(expression: str) -> Callable[[Any], Any]:
    """A function from an answer's value to the value in its place. Raises ValueError for what is no expression; the function
    raises NotJson where the answer does not have what the expression's functions need."""
    try:
        compiled = jmespath.compile(expression)
    except JMESPathError as error:
        raise ValueError(f"is no JMESPath expression: {str(error).splitlines()[0]}") from error
    options = jmespath.Options()

    def shape(value: Any) -> Any:
        try:
            return compiled.search(_numbers(value), options)
        except (JMESPathError, TypeError, ValueError) as error:
            raise NotJson("the shape does not fit the answer") from error

    return shape


def _numbers(value: Any) -> Any:
    """The value with the numbers that JMESPath's functions know: it compares floats, not decimals."""
    if isinstance(value, dict):
        return {name: _numbers(given) for name, given in value.items()}
    if isinstance(value, list):
        return [_numbers(given) for given in value]
    return float(value) if isinstance(value, Decimal) else value
