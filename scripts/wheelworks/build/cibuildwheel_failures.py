"""What cibuildwheel says when it fails, told to people: what failed, for which wheel, and what to try."""

from __future__ import annotations

import re

from wheelworks.core.errors import WheelworksError

SHOWN = 15  # lines

# The first pattern that the output holds decides. Each is what an engine, a kernel or cibuildwheel itself writes.
_KNOWN = (
    (
        r"exec format error|Exec format error",
        "this machine can't run programs of that CPU",
        "install qemu-user-static and binfmt-support (or your system's packages of qemu's binfmt entries)",
    ),
    (
        r"permission denied while trying to connect to the \w+ daemon|dial unix \S+: connect: permission denied",
        "you may not use the container engine",
        "join its group (docker), or install podman, which needs no service",
    ),
    (
        r"pinging container registry|dial tcp|no such host|TLS handshake|[Tt]emporary failure in name resolution",
        "the image of the build, or a package in it, can't be fetched",
        "look at network and proxy, or name an image that is here: CIBW_MANYLINUX_X86_64_IMAGE=NAME and its kin",
    ),
    (
        r"executable doesn't exist in image|this interpreter is not available in that image",
        "the image of the build lacks a Python that is asked for",
        "choose by --abi what the image has, or take cibuildwheel's own image",
    ),
    (
        r"pure Python wheel was generated",
        "its build made a pure wheel: the extension was left out",
        "set the switch that makes the extension a must in [tool.cibuildwheel] environment",
    ),
    (
        r"No build identifiers selected|Invalid archs|Invalid skip selector",
        "cibuildwheel builds nothing of what is asked for",
        "look at build, skip and archs in the project's [tool.cibuildwheel]",
    ),
    (
        r"No space left on device",
        "the disk is full",
        "free some room; images are what takes most: docker image prune, podman image prune",
    ),
)
_WHEEL = re.compile(r"^Building (cp\S+) wheel$", re.MULTILINE)
_STEP = re.compile(r"^([A-Z][A-Za-z_ ]+)\.\.\.$", re.MULTILINE)
_TRACEBACK = re.compile(r"^Traceback \(most recent call last\):\n(?:[ \t].*\n)+", re.MULTILINE)  # not its last line
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def explain(output: str, status: int) -> WheelworksError:
    """The error for an output of cibuildwheel that ended with a status other than 0."""
    plain = _TRACEBACK.sub("", COLOUR.sub("", output))
    wheel, step = _last(_WHEEL, plain), _last(_STEP, plain)
    place = " ".join(filter(None, (f"for {wheel}" if wheel else "", f"while {_lower(step)}" if step else "")))
    known = next(((what, hint) for pattern, what, hint in _KNOWN if re.search(pattern, plain)), None)
    what, hint = known or (f"it ended with status {status}", "the lines above are its own last ones")
    lines = [line for line in plain.splitlines() if line.strip()][-SHOWN:]
    told = " ".join(filter(None, ("cibuildwheel failed", place)))
    return WheelworksError("\n".join([f"{told}: {what}", *(f"    {line}" for line in lines)]), hint)


def _last(pattern: re.Pattern[str], text: str) -> str:
    found = pattern.findall(text)
    return str(found[-1]) if found else ""


def _lower(step: str) -> str:
    return step[:1].lower() + step[1:]
