"""Say what to do about a failed compile or link whose cause lies outside the project: the hint of its error.

The compiler's own message names the header or symbol, but not why this machine lacks what another has.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from wheelworks.build.driver import Event
from wheelworks.core.targets import Target
from wheelworks.core.zig import find_zig

_MISSING_HEADER = re.compile(r"error: '([^'\n]+)' file not found")
_UNDEFINED = re.compile(r"undefined symbol: (\w+)(.*)")  # a symbol of C++ has its parameters after its name
_MISSING_LIBRARY = re.compile(r'unable to find \w+ system library "([^"\n]+)"')
# Functions that checks of the stack call (/GS), as lld reports them for an object of a library.
_OF_MICROSOFTS_RUNTIME = re.compile(
    r"undefined symbol: (__security_\w+|__GSHandlerCheck\w*|_guard_\w+)\n>>> referenced by (\S+?\.(?:lib|obj))"
)
# Autoconf's status for a compiler whose programs can't be run, without --host.
_CONFIGURE = re.compile(r"/configure\b[^\n]*exit status 77|If you meant to cross compile, use .--host")
_MISSING_FRAMEWORK = re.compile(r'unable to find \w+ framework "([^"\n]+)"')
_REDEFINED = re.compile(
    r"error: (?:redefinition of|typedef redefinition|conflicting types for)[^\n']*'(\w+)'"
    r"(?:.*\n){1,6}?.*any-windows-any/(\S+?):\d+:\d+: note: previous (?:definition|declaration)"
)
# Headers of the macOS SDK that zig doesn't have: those of frameworks, and some of the kernel's.
_FRAMEWORKS = (
    "Accelerate|AppKit|ApplicationServices|AudioToolbox|AudioUnit|AVFoundation|Carbon|CFNetwork|Cocoa|CoreAudio|CoreData"
    "|CoreFoundation|CoreGraphics|CoreImage|CoreLocation|CoreMedia|CoreMIDI|CoreServices|CoreText|CoreVideo"
    "|CoreWLAN|DiskArbitration|Foundation|GLUT|ImageIO|IOBluetooth|IOKit|IOSurface|JavaScriptCore|LocalAuthentication"
    "|Metal|MetalKit|Network|objc|OpenAL|OpenCL|OpenDirectory|OpenGL|PCSC|QuartzCore|QuickTime|Security"
    "|ServiceManagement|SystemConfiguration|Tcl|Tk|vecLib|VideoToolbox|WebKit"
)
_OF_THE_MACOS_SDK = re.compile(
    rf"(?:{_FRAMEWORKS})/.+"
    r"|netinet/(?:tcp_\w+|tcpip|ip_\w+|ip6|icmp\w*|icmp_var|udp_var|in_pcb|in_var|if_ether|igmp\w*|bootp)\.h"
    r"|net/(?:if_arp|if_media|if_types|if_utun|if_mib|bpf|pfkeyv2|kext_net)\.h|netinet6/\w+\.h|arpa/nameser\w*\.h"
    r"|sys/(?:xattr|disk|domain|sys_domain|kern_event|mbuf|vnode|ptrace|pipe|quota|reboot|protosw|socketvar|sbuf|user"
    r"|dtrace|fsgetpath|snapshot|tty|utfconv)\.h"
    r"|(?:libproc_internal|membership|removefile|readpassphrase|resolv|ttyent|notify|asl|sandbox|bootstrap|utmp)\.h"
)
# Folders of zig's headers, and whose they are.
_SYSTEMS = {
    "generic-glibc": "glibc",
    "generic-musl": "musl",
    "any-linux-any": "Linux",
    "any-darwin-any": "macOS",
    "any-windows-any": "Windows",
}
_LIBRARIES = ("zlib.h", "zconf.h")  # macOS has this library, and zig its headers; elsewhere it is a third party's
_NAMES = {"windows": "Windows", "macos": "macOS"}
_ASSEMBLER = (".s", ".asm")


def advise(failure: Event, target: Target, tree: Path) -> str:
    """Return what to do about a failed step in the source tree ``tree``; "" if its own message says it."""
    text = str(failure.get("error", ""))
    found = (look(text, target, tree) for look in (explain_cause, suggest_prefix, suggest_own_folder, name_system))
    return next(filter(None, found), "")


def advise_on_backend(output: str, target: Target) -> str:
    """Return what to do about a backend that failed without a compiler's error; "" if its ``output`` says it."""
    if not _CONFIGURE.search(output):
        return ""
    built = f"build its library for {target.id} {_format_options(target, 'with --host, and name its folder: ')}"
    return f"`configure` stopped because this machine can't run programs of {target.id}: {built}"


def explain_cause(text: str, target: Target, tree: Path) -> str:
    """Return what to do about an error whose ``text`` shows the cause; "" for any other error."""
    if missing := _MISSING_HEADER.search(text):
        return _advise_header(missing[1], target)
    if redefined := _REDEFINED.search(text):
        return (
            f"Microsoft's headers don't define {redefined[1]}, but zig's are MinGW's, and their {redefined[2]} does: "
            "leave it out of the source where __MINGW32__ is defined, or build this wheel on Windows"
        )
    if library := _MISSING_LIBRARY.search(text):
        bring = f"bring it as a static library {_format_options(target)}"
        return f"lib{library[1]} is neither the system's nor the project's: {bring}"
    if framework := _MISSING_FRAMEWORK.search(text):
        return f"{framework[1]} is a framework of the macOS SDK, which zig doesn't have: build this wheel on a Mac"
    if checked := _OF_MICROSOFTS_RUNTIME.search(text):
        built = f"build its source by zig {_format_options(target, 'and name its folder: ')}"
        return f"{checked[2]} was compiled by Microsoft's compiler, whose runtime has {checked[1]}: {built}"
    if undefined := _UNDEFINED.findall(text):
        return _advise_symbol([name for name, _ in undefined], tree)
    return ""


def _advise_header(name: str, target: Target) -> str:
    if target.os == "macos" and _OF_THE_MACOS_SDK.fullmatch(name):
        bring = f"or bring the header: --prefix {target.id}=DIR"
        return f"{name} belongs to the macOS SDK, which zig doesn't have: build this wheel on a Mac, {bring}"
    return ""


def _advise_symbol(names: list[str], tree: Path) -> str:
    """Return where an undefined symbol of the project itself is: in a file that isn't among the extension's sources.

    It is one of an assembler file, or one that is named after the project, as those of tree-sitter's parsers are.
    """
    for path in _list_assembler_files(tree):
        text = path.read_text(encoding="utf-8", errors="replace")
        if name := next((name for name in names if re.search(rf"\b{re.escape(name)}\b", text)), ""):
            return (
                f"{name} is in {path.relative_to(tree).as_posix()}, which the project doesn't compile for this target: "
                "add the file to the extension's sources, or define the macro that turns assembler off"
            )
    own = re.sub(r"\W", "_", tree.name.rpartition("-")[0]).lower()
    if name := next((name for name in names if own and name.lower().lstrip("_").startswith(f"{own}_")), ""):
        return f"{name} is the project's by its name: the source with it isn't in the sdist, or not in the extension's"
    return ""


def _list_assembler_files(tree: Path) -> Iterator[Path]:
    for path in sorted(tree.rglob("*")):
        if path.suffix.lower() in _ASSEMBLER and path.is_file():
            yield path


def suggest_prefix(text: str, target: Target, tree: Path) -> str:
    """Return the hint to bring a library, if the error ``text`` says that a header or a symbol is missing; or "".

    A header of the source ``tree`` isn't a library's, nor one of another system, nor a symbol of CPython or the
    compiler.
    """
    if (header := _MISSING_HEADER.search(text)) and not _is_known_header(header[1], tree):
        return _format_suggestion(header[1], target)
    plain = (name for name, rest in _UNDEFINED.findall(text) if not rest)
    symbols = (name.removeprefix("_" * (target.os == "macos")) for name in plain)
    symbol = next((name for name in symbols if not name.startswith(("Py", "_"))), "")
    return f"{_format_suggestion(symbol, target)}; its name belongs in the extension's `libraries`" if symbol else ""


def suggest_own_folder(text: str, target: Target, tree: Path) -> str:
    """Return where the project has a missing header, such as that of a library which it uses with MSVC only; or ""."""
    missing = _MISSING_HEADER.search(text)
    if missing is None or not (found := _list_own_headers(missing[1], tree)):
        return ""
    folder = found[0].relative_to(tree).as_posix().removesuffix(missing[1]).rstrip("/") or "."
    search = f"add it to the extension's include_dirs, or pass --env CFLAGS=-I{folder}"
    bring = f"if it is another library's, bring that: --prefix {target.id}=DIR"
    return f"{missing[1]} is in the project's folder {folder}, which its build doesn't search: {search}; {bring}"


def _list_own_headers(name: str, tree: Path) -> list[Path]:
    return sorted(path for path in tree.rglob(PurePosixPath(name).name) if path.as_posix().endswith(f"/{name}"))


def _is_known_header(name: str, tree: Path) -> bool:
    """Return whether the project has a header, or zig for any system."""
    if _list_own_headers(name, tree):
        return True
    return name not in _LIBRARIES and any(_find_system_headers().glob(f"*/{glob.escape(name)}"))


def _find_system_headers() -> Path:
    return Path(find_zig()).parent / "lib/libc/include"


def name_system(text: str, target: Target, tree: Path) -> str:
    """Return whose header is missing, and what to do, if other systems have it; or ""."""
    missing = _MISSING_HEADER.search(text)
    if missing is None or missing[1] in _LIBRARIES or _list_own_headers(missing[1], tree):
        return ""
    include = _find_system_headers()
    systems = [system for folder, system in _SYSTEMS.items() if (include / folder / missing[1]).is_file()]
    if not systems:
        return ""
    own = _NAMES.get(target.os, "musl" if target.id.startswith("musl") else "glibc")
    without = f"leave out the code that includes it there, or build for other targets: without {target.id}"
    return f"{missing[1]} is a header of {' and '.join(systems)}, which {own} doesn't have: {without}"


def _format_suggestion(what: str, target: Target) -> str:
    built = f"build that as a static library for {target.id} {_format_options(target, 'and name its folder: ')}"
    return f"if {what} belongs to a third-party C library, {built}"


def _format_options(target: Target, how: str = "") -> str:
    return f"(--show-compiler {target.id} prints the compiler), {how}--prefix {target.id}=DIR"
