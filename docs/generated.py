"""Write the pages of the reference from the code: sessions, options, targets, findings, the manifest, results."""

from __future__ import annotations

import ast
import importlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

from wheelworks.__main__ import COMMANDS, OWN
from wheelworks.audit.findings import render_markdown
from wheelworks.core import manifest, summary, targets

ROOT = Path(__file__).parents[1]
_SYSTEMS = {"windows": "Windows", "macos": "macOS"}


def write(folder: Path) -> None:
    """Write every page of the reference into a folder; unchanged pages are left alone."""
    made = {"sessions": sessions(), "options": options(), "targets": target_page(), "findings": findings()}
    folder.mkdir(exist_ok=True)
    for name, text in {**made, "manifest": manifest_page(), "results": results_page()}.items():
        place = folder / f"{name}.md"
        if not place.is_file() or place.read_text(encoding="utf-8") != text:
            place.write_text(text, encoding="utf-8")


def described_sessions(noxfile: str) -> dict[str, str]:
    """Return each session of a noxfile's text with the first line of its docstring."""
    found = {}
    for node in ast.parse(noxfile).body:
        if isinstance(node, ast.FunctionDef) and (name := _session_name(node)):
            found[name] = (ast.get_docstring(node) or "").partition("\n")[0]
    return found


def _session_name(node: ast.FunctionDef) -> str:
    for decorator in node.decorator_list:
        if ast.unparse(decorator).startswith("nox.session"):
            words = decorator.keywords if isinstance(decorator, ast.Call) else []
            named = [word.value.value for word in words if word.arg == "name" and isinstance(word.value, ast.Constant)]
            return str(named[0]) if named else node.name
    return ""


def sessions() -> str:
    """Return the page of the sessions, and of the commands that other projects can use."""
    rows = [
        f"| `{name}` | {text} | {_for_others(name)} |"
        for name, text in described_sessions((ROOT / "noxfile.py").read_text(encoding="utf-8")).items()
    ]
    head = ["# Sessions", "", "The sessions of this repository's `noxfile.py`. The last column names the commands that"]
    head += ["other projects can use from [their own noxfile](../howto/your-noxfile.md).", ""]
    return "\n".join([*head, "| session | what it does | elsewhere |", "|---|---|---|", *rows, ""])


def _for_others(name: str) -> str:
    if name in COMMANDS and name not in OWN:
        return f"[`wheelworks {name}`](options.md#{name})"
    if name == "test-native":
        return f"[`wheelworks {name} --source`](options.md#{name})"
    return "this repository only"


def options() -> str:
    """Return the page of all options: each command's ``--help`` at 80 columns."""
    parts = ["# Commands and their options", "", "What `--help` prints.", ""]
    with mock.patch.dict(os.environ, {"COLUMNS": "80", "NO_COLOR": "1"}):
        for name, module in COMMANDS.items():
            parts += [f"## {name}", "", "```text", importlib.import_module(module).parser().format_help(), "```", ""]
    return "\n".join(parts)


def target_rows() -> list[str]:
    """Return a row of a Markdown table for each target."""
    return [
        "| `{}` | {} | {} {} |".format(
            target.id,
            " ".join(f"`{tag}`" for tag in target.tags),
            _SYSTEMS.get(target.os, "musl" if "musl" in target.id else "glibc"),
            target.minimum,
        )
        for target in targets.load_targets()
    ]


def target_page() -> str:
    """Return the page of the targets."""
    head = ["# Targets", "", "The rows of `scripts/wheelworks/targets.toml`: `--target` takes their names.", ""]
    return "\n".join([*head, "| target | wheel tags | needs at least |", "|---|---|---|", *target_rows(), ""])


def findings() -> str:
    """Return the page of the audit's findings."""
    return render_markdown()


def manifest_page() -> str:
    """Return the page of the manifest's fields."""
    schema = manifest.generate_schema()
    head = ["# The manifest", "", schema["$defs"]["Manifest"]["description"], ""]
    head += [
        "It holds no time of day, no duration and no path, so that two builds of one source give the same file.",
        "",
    ]
    head += ["| field | type | what it says |", "|---|---|---|"]
    rows = [f"| `{place}` | {kind} | {text} |" for place, kind, text in fields(schema)]
    end = ["", "As JSON Schema, which the tests hold against real manifests:", "", "```json"]
    return "\n".join([*head, *rows, *end, json.dumps(schema, indent=2), "```", ""])


PARTS = {
    "build-wheels, cross-arm64": "all fields of the manifest's wheel, with its runs",
    "test-foreign, test-native --source": "`runs`, and the `seconds` of each",
    "audit": "`checks` and `findings`; besides `wheels`, `findings` on the release, their `groups`, and `notes`",
    "reproduce": "`same`, `varied`, `not_varied` and `differs_by`",
    "compare": "none: the differences are `failures`, and `details` has what could not be compared",
    "test-native, test-autobahn, test-frameworks, release, bench": "`details`: each run, role, project, step or figure",
}


def results_page() -> str:
    """Return the page of what ``--json`` writes."""
    schema = summary.generate_schema()
    head = ["# Results for programs", "", schema["$defs"]["Result"]["description"], ""]
    head += ["| field | type | what it says |", "|---|---|---|"]
    rows = [f"| `{place}` | {kind} | {text} |" for place, kind, text in fields(schema)]
    parts = [f"| {name} | {text} |" for name, text in PARTS.items()]
    middle = [
        "",
        "The parts of the [manifest](manifest.md) in `wheels`:",
        "",
        "| command | part |",
        "|---|---|",
        *parts,
    ]
    end = ["", "`build-wheels --list --json` is another format: the planned wheels, and the jobs of CI.", ""]
    return "\n".join([*head, *rows, *middle, *end])


def fields(schema: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Every field that a schema describes: its place, its type, its description."""
    yield from _fields(schema, schema["$defs"], "")


def _fields(part: Mapping[str, Any], types: Mapping[str, Any], place: str) -> Iterator[tuple[str, str, str]]:
    part = _resolved(part, types)
    for name, field in part.get("properties", {}).items():
        here, inner = f"{place}{name}", _resolved(field, types)
        needed = "" if name in part.get("required", ()) else ", may be missing"
        choices = ", ".join(f"`{one}`" for one in inner.get("enum", ()))
        kind = inner.get("type", f"one of {choices}" if choices else "any")
        yield here, kind + needed, field.get("description") or inner.get("description", "")
        yield from _fields(inner, types, f"{here}.")
        if "items" in inner:
            yield from _fields(inner["items"], types, f"{here}[].")


def _resolved(part: Mapping[str, Any], types: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a part of the schema, or what it refers to; of a part that may be null, what it is otherwise."""
    for choice in part.get("anyOf", ()):
        if "$ref" in choice:
            part = choice
    return types[part["$ref"].rpartition("/")[2]] if "$ref" in part else part
