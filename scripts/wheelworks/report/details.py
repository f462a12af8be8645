"""What lies behind a cell: all that is known of one wheel."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from wheelworks.markup import Child, Safe, element, join, lines
from wheelworks.report import model
from wheelworks.report.model import Run, Wheel


def section(wheels: Sequence[Wheel]) -> Safe:
    """Every wheel, each folded up."""
    folded = [_wheel(one, number) for number, one in enumerate(wheels)]
    return element("section", element("h2", "The wheels, one by one"), *folded, id="wheels")


def symbols(one: Wheel) -> Iterator[str]:
    """The names that a wheel's binaries import."""
    for extension in one.record.extensions[: model.MOST]:
        for library, names in model.mapping(extension.imports).items():
            yield library
            yield from model.texts(names)


def _wheel(one: Wheel, number: int) -> Safe:
    back = element("p", element("a", "Back to the matrix", href="#matrix"))
    facts = [("SHA-256", element("code", one.sha256)), ("size", f"{one.size:,} bytes"), ("ABI", one.abi)]
    facts += [("platform", ", ".join(filter(None, (one.platform, model.minimum(one.ids)))))]
    facts += [
        (
            "made of",
            _stacked(f"{key} {value}" for key, value in model.flat(msgspec.to_builtins(one.record.fingerprint))),
        )
    ]
    return element(
        "details",
        element("summary", one.file),
        element("dl", *(_fact(key, value) for key, value in facts)),
        _titled("Tags", _list(one.tags)),
        _titled("Binaries and their imports", *_binaries(one)),
        _titled("Audit", *_audit(one)),
        _titled("Runs", *_runs(one)),
        _titled("Built again", *_reproduced(one)),
        back,
        id=f"wheel-{number}",
    )


def _titled(title: str, *content: Child) -> Safe:
    return join(element("h3", title), *(content or (element("p", "Nothing is known of it yet."),)))


def _fact(key: str, value: Child) -> Safe:
    return element("div", element("dt", key), element("dd", value))


def _stacked(lines: Iterator[str]) -> Safe:
    return join(*(element("div", line) for line in lines))


def _list(items: Sequence[str]) -> Safe | None:
    return element("ul", *(element("li", element("code", item)) for item in items)) if items else None


def _binaries(one: Wheel) -> Iterator[Safe]:
    for extension in one.record.extensions[: model.MOST]:
        about = ", ".join(filter(None, map(model.text, (extension.format, extension.machine, extension.minimum))))
        exports = ", ".join(model.texts(extension.exports))
        yield element("p", element("code", model.text(extension.file)), f" ({about}), exports {exports}")
        for library, names in model.mapping(extension.imports).items():
            found = model.texts(names)
            title = f"{len(found)} from {library or 'whoever loads it'}"
            yield element("p", f"{title}: ", element("span", ", ".join(found), class_="names"))


def _audit(one: Wheel) -> Iterator[Safe]:
    audit = one.record.audit
    if audit is None:
        return
    if checks := model.mapping(audit.checks):
        yield element("p", "; ".join(f"{group}: {model.text(found)}" for group, found in checks.items()))
    for one_finding in audit.findings[: model.MOST]:
        head = " ".join(map(model.text, (one_finding.severity, one_finding.code, one_finding.name)))
        text = ": ".join(filter(None, map(model.text, (one_finding.member, one_finding.evidence))))
        yield element("p", element("strong", head), f" {text}")


def _runs(one: Wheel) -> Iterator[Safe]:
    for run in one.runs:
        yield element("p", element("strong", f"{run.outcome}: "), _ran(run))
        for finding in run.findings:
            yield lines(finding.split("\n"), "Finding")


def _ran(run: Run) -> str:
    return f"{run.how}; {run.checks:,} checks" + (f"; {run.why}" if run.why else "")


def _reproduced(one: Wheel) -> Iterator[Safe]:
    found = one.record.reproduced
    if found is None:
        return
    yield element("p", "The same bytes." if found.same else "Other bytes.")
    yield element("p", f"Varied: {', '.join(model.texts(found.varied))}.")
    for name, why in model.mapping(found.not_varied).items():
        yield element("p", f"Not varied: {name}: {model.text(why)}")
    for name, places in model.mapping(found.differs_by).items():
        yield element("p", element("strong", f"Differs by {name}: "), "; ".join(model.texts(places)))
