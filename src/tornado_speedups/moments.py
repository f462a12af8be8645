"""What Tornado computes anew for each request though it rarely changes: dates; and timeouts of what is there already.

Each function is on top of Tornado's own, to which it leaves whatever isn't usual. This module imports Tornado:
install() uses it only where it knows its code.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from tornado.concurrent import Future

# A later fraction of a second is rounded up to the next one, which is left to Tornado.
_LAST_FRACTION = 0.999999

# Of a year that has four digits.
_LAST_SECOND = 1 << 37


def format_timestamp_with(stock: Callable[[Any], str]) -> Callable[[Any], str]:
    """httputil.format_timestamp, on top of the one that Tornado has: once for all responses of a second."""
    latest: tuple[int, str] = (-1, "")

    @wraps(stock)
    def format_timestamp(ts: Any) -> str:
        nonlocal latest
        if type(ts) is not float or not 0 <= ts < _LAST_SECOND:
            return stock(ts)
        second = int(ts)
        if ts - second > _LAST_FRACTION:
            return stock(ts)
        known, text = latest
        if known != second:
            text = stock(ts)
            latest = (second, text)
        return text

    return format_timestamp


def with_timeout_with(stock: Callable[..., Future[Any]]) -> Callable[..., Future[Any]]:
    """gen.with_timeout, on top of the one that Tornado has: no timer for a future that has its result."""

    @wraps(stock)
    def with_timeout(timeout: Any, future: Any, *arguments: Any, **options: Any) -> Future[Any]:
        if type(timeout) is not float or not isinstance(future, Future) or not future.done():
            return stock(timeout, future, *arguments, **options)
        if future.cancelled() or future.exception() is not None:
            return stock(timeout, future, *arguments, **options)
        result: Future[Any] = Future()
        result.set_result(future.result())
        return result

    return with_timeout
