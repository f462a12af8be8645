"""Measure the CPU time that a user's program takes for a request, with the speedups and without, in turns.

The program is started anew for each measurement, because two processes of one program differ more than two measurements
of one process do. A pair of neighbours is compared, because a machine's speed drifts.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from statistics import median
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

from tornado_speedups import _implementation
from tornado_speedups.commands.check import describe_implementation, describe_left
from tornado_speedups.commands.load import HEADERS, WEBSOCKET_SCHEMES, Load
from tornado_speedups.commands.measured import SUBJECTS
from tornado_speedups.commands.server import CompareError, Server, is_listening, name_program

USAGE = """\
usage: python -m tornado_speedups --compare [OPTION...] PROGRAM... -- URL...
  PROGRAM is FILE [ARGUMENT...] or -m MODULE [ARGUMENT...], one process that
  listens at the URLs: all http: or https:, or all ws: or wss:

options:
  --pairs N         starts of the program without and with speedups (5)
  --seconds N       how long each is measured (2)
  --connections N   how many are used at once (8)
  --header TEXT     'Name: value', besides a browser's; may be repeated
  --message TEXT    what is sent to a WebSocket, and answered by one message
"""
_NUMBERS = {"--pairs": 5.0, "--seconds": 2.0, "--connections": 8.0}


class Plan(NamedTuple):
    """What is compared, and how long."""

    program: list[str]
    load: Load
    pairs: int
    seconds: float


def parse_arguments(words: Sequence[str]) -> Plan:
    """Return what the arguments after ``--compare`` ask for. Raises CompareError if they are wrong."""
    numbers, headers, message = dict(_NUMBERS), dict(HEADERS), "hello"
    rest = list(words)
    while rest[:1] and rest[0].startswith("--") and rest[0] != "--":
        name, value = rest.pop(0), rest.pop(0) if rest else ""
        if name in numbers:
            numbers[name] = _parse_number(name, value)
        elif name == "--header":
            headers |= _parse_header(value)
        elif name == "--message":
            message = value
        else:
            raise CompareError(f"--compare has no option {name}")
    program, urls = _split(rest)
    load = Load(urls, int(numbers["--connections"]), headers, message)
    return Plan(program, load, int(numbers["--pairs"]), numbers["--seconds"])


def compare(plan: Plan) -> str:
    """Measure, and return the text to print. Raises CompareError if the program doesn't answer as it should."""
    costs: dict[str, list[float]] = {subject: [] for subject in SUBJECTS}
    for number in range(plan.pairs):
        for subject in SUBJECTS if number % 2 == 0 else SUBJECTS[::-1]:
            costs[subject].append(measure(subject, plan))
        shown = ", ".join(f"{subject} {_format_time(costs[subject][-1])}" for subject in SUBJECTS)
        sys.stderr.write(f"pair {number + 1} of {plan.pairs}: {shown}\n")
    return "".join(
        [format_result(plan, costs["tornado"], costs["speedups"]), *(f"{line}\n" for line in describe_left())]
    )


def measure(subject: str, plan: Plan) -> float:
    """Return the CPU time in seconds that the program takes for an answer. Raises CompareError."""
    url = plan.load.urls[0]
    if is_listening(url):
        raise CompareError(f"something listens at {url.netloc} already; end it, because the program is started anew")
    with Server(subject, plan.program, url) as server:
        server.wait()
        plan.load.send(plan.seconds / 4)  # what happens only once
        begin = server.read_cpu_time()
        answers = plan.load.send(plan.seconds)
        cost = (server.read_cpu_time() - begin) / answers
    if cost < 1e-6:
        raise CompareError(
            f"{name_program(plan.program)} leaves the work to other processes; have it use one process only"
        )
    return cost


def format_result(plan: Plan, stock: Sequence[float], ours: Sequence[float]) -> str:
    """Return the result as text: medians, ranges, and what may be concluded from them."""
    unit = "message" if plan.load.urls[0].scheme in WEBSOCKET_SCHEMES else "request"
    ratios = [new / old for old, new in zip(stock, ours, strict=True)]
    lines = [
        f"{' '.join(plan.program)}: CPU time per {unit}, median (lowest to highest) of {plan.pairs} runs",
        *(f"{subject:10}{_format_range(costs)}" for subject, costs in (("tornado", stock), ("speedups", ours))),
        f"{'ratio':10}{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f} in {plan.pairs} pairs of runs)",
        "",
        _conclude(ratios),
    ]
    if _implementation.implementation == "python":
        lines.append(f"Implementation: {describe_implementation()}")
    return "".join(f"{line}\n" for line in lines)


def _conclude(ratios: Sequence[float]) -> str:
    change = median(ratios) - 1
    if min(ratios) <= 1 <= max(ratios) or abs(change) < 0.01:
        return "No difference that this measurement shows: in some pairs less CPU time, in others more, or within 1%."
    amount = f"{abs(change):.0%} {'less' if change < 0 else 'more'}"
    if len(ratios) < 5:
        return f"The speedups take about {amount} CPU time, in too few pairs to be sure."
    return f"The speedups take {amount} CPU time. They took {amount.split()[1]} in each of {len(ratios)} pairs."


def _split(words: Sequence[str]) -> tuple[list[str], list[SplitResult]]:
    """Return the program with its arguments, and the addresses after the last "--"."""
    if "--" not in words:
        raise CompareError("--compare needs URLs after the program: PROGRAM... -- URL...")
    at = len(words) - 1 - words[::-1].index("--")
    program, texts = list(words[:at]), words[at + 1 :]
    if not program or not texts or program == ["-m"]:
        raise CompareError("--compare needs a program and URLs: PROGRAM... -- URL...")
    urls = [_parse_url(text) for text in texts]
    if len({(url.scheme in WEBSOCKET_SCHEMES, url.netloc) for url in urls}) > 1:
        raise CompareError("--compare needs URLs of one server, all for requests or all for WebSockets")
    return program, urls


def _parse_url(text: str) -> SplitResult:
    try:
        url = urlsplit(text)
        if url.scheme in ("http", "https", *WEBSOCKET_SCHEMES) and url.hostname and url.port != 0:
            return url
    except ValueError:
        pass  # of urlsplit() or of its port: such a text is refused as well
    raise CompareError(f"{text!r} isn't a URL that begins with http:, https:, ws: or wss:")


def _parse_number(name: str, value: str) -> float:
    try:
        number = float(value)
        if 0 < number <= 1000 and (name == "--seconds" or number == int(number)):
            return number
    except ValueError:
        pass  # it isn't a number, which is refused as well
    raise CompareError(f"{name} needs a number up to 1000, not {value!r}")


def _parse_header(value: str) -> dict[str, str]:
    name, colon, text = value.partition(":")
    if not colon or not name.strip():
        raise CompareError(f"--header needs 'Name: value', not {value!r}")
    return {name.strip(): text.strip()}


def _format_time(seconds: float) -> str:
    return f"{seconds * 1e6:.3g} us" if seconds < 1e-3 else f"{seconds * 1e3:.3g} ms"


def _format_range(costs: Sequence[float]) -> str:
    return f"{_format_time(median(costs))} ({_format_time(min(costs))} to {_format_time(max(costs))})"
