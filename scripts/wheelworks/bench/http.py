"""Servers that greet: what a request costs, with a browser's headers and with none but what is needed."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from wheelworks.bench import cases, requests
from wheelworks.bench.cases import Case
from wheelworks.bench.measurements import Measurement, Plan

TITLE = "HTTP hello world, per request"
BASE = "tornado"
SUBJECTS = ("tornado-hello", "speedups-hello", "aiohttp-hello")

CASES = (
    Case("12 headers of a browser", partial(requests.repeated, request=requests.BROWSER), 150, SUBJECTS),
    Case("bare", partial(requests.repeated, request=requests.BARE), 150, SUBJECTS),
)


def measure(plan: Plan, say: Callable[[str, str], None]) -> list[Measurement]:
    """CPU time, or instructions, of every server for either request."""
    return cases.measure("http", CASES, plan, say)
