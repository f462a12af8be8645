"""Tell by hashes of its source text which code of Tornado is known, so that it may be replaced or relied upon.

The source is hashed because bytecode differs between versions of Python. A class or function that someone has patched
in memory isn't known either.

After a new version of Tornado: review what has changed in the definitions below, then add their new fingerprints, and
their positions: tests/speedups/test_start_up.py prints those of the installed version.
"""

from __future__ import annotations

import re
from hashlib import sha256
from importlib import import_module
from types import FunctionType, ModuleType
from typing import Any

# The first 16 digits of the SHA-256 of each definition's text, in Tornado 6.5 to 6.5.10, and in 6.6 and 6.6.1.
FINGERPRINTS: dict[str, tuple[str, ...]] = {
    "tornado.websocket:WebSocketHandler.get_websocket_protocol": ("e19024c8f7037b5f", "7401c96e48f83c6e"),
    "tornado.websocket:WebSocketClientConnection.get_websocket_protocol": ("63d54894f73ea168",),
    "tornado.websocket:WebSocketClientConnection.read_message": ("3b9694a090928685", "f8bdaf860b055216"),
    "tornado.websocket:WebSocketClientConnection._on_message": ("cb50ccf0a9ce68b4", "7f24067e3f3c9ad4"),
    "tornado.queues:Queue": ("b69b5b1890c81ebc", "fa5f46cfe4d2da30"),
    "tornado.websocket:WebSocketProtocol": ("5a5b90cc8f826ed3", "f42ce84b7f0e12da"),
    "tornado.websocket:WebSocketProtocol13": ("7a3ac48c272396f0", "08c9c0b6f6187b79", "33304d9376f88d0f"),
    "tornado.websocket:_PerMessageDeflateCompressor": ("1dc30e37f484ca42", "ff58514f61bcf8ef"),
    "tornado.websocket:_PerMessageDeflateDecompressor": ("bb60738746060feb", "2958b5e9d061c273"),
    "tornado.iostream:BaseIOStream": ("8e018c8c676a59eb", "806a813b3a7ea78d", "7cb61f5da1f18c91"),
    "tornado.iostream:IOStream": ("02fa9f260ae9d929", "c781941a3bedb477"),
    "tornado.iostream:SSLIOStream": ("e4034fe36a3a8768", "4e1db0096ff7270d"),
    "tornado.platform.asyncio:BaseAsyncIOLoop": ("95f377733e7bc4c5", "b597664a3f85c3b7"),
    "tornado.util:_websocket_mask_python": ("83e184311a07dbc8", "37f6bb9f894a4def"),
    "tornado.httputil:_ABNF": ("ccc53c925a52a053", "92936de0b095a8f2"),
    "tornado.httputil:_normalize_header": ("0520c8a41b1cf793",),
    # Without the one of 6.5, whose parser has other parameters.
    "tornado.httputil:HTTPHeaders": (
        "1510560908dcae4f",
        "aa636824d654a1e6",
        "63d28e0009c062b0",
        "4bf858a4bcdbb8e5",
        "a90a5523de80df95",
    ),
    "tornado.httputil:parse_request_start_line": ("ded7487ee7a8e79f",),
    "tornado.httputil:format_timestamp": ("f8575294872a3a71", "d3d84748ea3fe826"),
    "tornado.http1connection:HTTP1Connection._parse_headers": ("a7302849cf3f71cb", "c9d8e93194bd25b4"),
    "tornado.http1connection:HTTP1Connection": (
        "bea25a05b2b51bec",
        "dbce7c6dc54bd7f8",
        "9e95cf8d6324f763",
        "a829328458218a56",
        "82521c57bc31f0c7",
    ),
    "tornado.http1connection:parse_int": ("3d784d096427fd06",),
    "tornado.web:_HandlerDelegate": ("94284e786f863083", "565ba8da059228cc"),
    "tornado.http1connection:_ExceptionLoggingContext": (
        "d061dace90362cb7",
        "f40c76c32e5e5f8c",
        "3e8c6a0d2be23b30",
    ),
    "tornado.httputil:HTTPServerRequest": (
        "7d14fa38b85e49f6",
        "c07a2263addaf4cd",
        "86fa9d12611afbea",
        "ed5ed30fd4712359",
    ),
    "tornado.httputil:split_host_and_port": (
        "542645fae433550c",
        "6211e48a7de2cc39",
    ),
    "tornado.routing:_RoutingDelegate": (
        "07bd3874c413db88",
        "548df48f79282a16",
        "8fcb653cec70d2ca",
    ),
    "tornado.routing:RuleRouter.get_target_delegate": (
        "61c6ce731bf5841e",
        "0887197c71007718",
    ),
    "tornado.web:_ApplicationRouter": (
        "7e80c8167ba39824",
        "79f9264cdb02723e",
    ),
    "tornado.web:RequestHandler.clear": (
        "86d10c58e0ae4f66",
        "70e93529d96b1e19",
    ),
    "tornado.web:RequestHandler.set_header": ("450eeea6f92747ce",),
    "tornado.web:RequestHandler._convert_header_value": (
        "4baa577f78e46833",
        "f45beb241c6dba33",
    ),
    "tornado.web:RequestHandler.compute_etag": (
        "0481437e9d6f36bc",
        "fc27440da0807f34",
    ),
    "tornado.web:RequestHandler.check_etag_header": ("61c5ada0a15d3a99",),
    "tornado.web:Application.log_request": ("399acf42f9756426",),
}

# Where these definitions begin in Tornado 6.5.10 and 6.6.1, and their lengths, in bytes. They are found there without a
# search, which takes longer than everything else that install() does; in other versions, they are searched.
POSITIONS: dict[str, tuple[tuple[int, int], ...]] = {
    "tornado.websocket:WebSocketHandler.get_websocket_protocol": ((21886, 553), (22605, 541)),
    "tornado.websocket:WebSocketClientConnection.get_websocket_protocol": ((59688, 139), (62411, 139)),
    "tornado.websocket:WebSocketClientConnection.read_message": ((57811, 740), (60573, 732)),
    "tornado.websocket:WebSocketClientConnection._on_message": ((58678, 274), (61423, 252)),
    "tornado.queues:Queue": ((2328, 8528), (2273, 9036)),
    "tornado.websocket:WebSocketProtocol": ((22960, 3024), (23667, 3367)),
    "tornado.websocket:WebSocketProtocol13": ((28961, 22359), (29917, 24255)),
    "tornado.websocket:_PerMessageDeflateCompressor": ((25987, 1702), (27037, 1671)),
    "tornado.websocket:_PerMessageDeflateDecompressor": ((27692, 1266), (28711, 1203)),
    "tornado.iostream:BaseIOStream": ((6266, 35704), (7211, 36942)),
    "tornado.iostream:IOStream": ((41973, 10439), (44156, 10914)),
    "tornado.iostream:SSLIOStream": ((52415, 10240), (55073, 10279)),
    "tornado.platform.asyncio:BaseAsyncIOLoop": ((2397, 7807), (2438, 7780)),
    "tornado.util:_websocket_mask_python": ((14534, 687), (19455, 687)),
    "tornado.httputil:_ABNF": ((2178, 2531), (1973, 2531)),
    "tornado.httputil:_normalize_header": ((4729, 219), (4524, 219)),
    "tornado.httputil:HTTPHeaders": ((4951, 9876), (4746, 9742)),
    "tornado.httputil:parse_request_start_line": ((42213, 945), (43053, 945)),
    "tornado.httputil:format_timestamp": ((41226, 892), (42069, 889)),
    "tornado.http1connection:HTTP1Connection._parse_headers": ((25873, 661), (27403, 661)),
    "tornado.http1connection:parse_int": ((38040, 188), (41867, 188)),
    "tornado.web:_HandlerDelegate": ((95771, 3845), (103529, 3818)),
    "tornado.http1connection:HTTP1Connection": ((3730, 28313), (4451, 31226)),
    "tornado.http1connection:_ExceptionLoggingContext": ((1521, 853), (2260, 850)),
    "tornado.httputil:HTTPServerRequest": ((14830, 9942), (14491, 11206)),
    "tornado.httputil:split_host_and_port": ((47903, 427), (48698, 413)),
    "tornado.routing:_RoutingDelegate": ((7788, 1644), (7765, 1613)),
    "tornado.routing:RuleRouter.get_target_delegate": ((12782, 1146), (12714, 1143)),
    "tornado.web:_ApplicationRouter": ((81494, 1510), (89315, 1504)),
    "tornado.web:RequestHandler.clear": ((10328, 531), (10021, 523)),
    "tornado.web:RequestHandler._convert_header_value": ((13893, 1238), (13575, 1239)),
    "tornado.web:RequestHandler.compute_etag": ((68445, 468), (75151, 465)),
    "tornado.web:RequestHandler.check_etag_header": ((69299, 1550), (76002, 1550)),
    "tornado.web:Application.log_request": ((94849, 919), (102607, 919)),
    "tornado.web:RequestHandler.set_header": ((12765, 364), (12447, 364)),
}

# Other versions are unknown even if these definitions are unchanged, because other code may have changed.
_VERSIONS = ((6, 5), (6, 6))

# What follows a definition at this depth of indentation, in spaces.
_NEXT_DEFINITION = {0: rb"\n(?=[^\s#)])", 4: rb"\n(?= {0,4}[^\s#)])"}


class TornadoCode:
    """The code of the Tornado that is imported, as it is now; each part is read and checked once."""

    def __init__(self) -> None:
        self._known: dict[str, bool] = {}
        self._reasons: dict[str, str | None] = {}

    def explain_unknown(self, names: list[str]) -> str | None:
        """Return why one of these definitions is unknown, None if all are known. Raises ImportError.

        A definition is "module:Class", "module:function" or "module:Class.function".
        """
        if import_module("tornado").version_info[:2] not in _VERSIONS:
            return "a version it doesn't know"
        for name in names:
            if name not in self._reasons:
                self._reasons[name] = self._explain(name)
            if self._reasons[name]:
                return self._reasons[name]
        return None

    def _explain(self, name: str) -> str | None:
        module_name, _, qualified_name = name.partition(":")
        module = import_module(module_name)
        if name not in self._known:
            self._known |= _find_known(get_source(module), module_name)
        if not self._known[name]:
            return f"whose {module_name}.{qualified_name} it doesn't know"
        if _is_patched(module, qualified_name):
            return f"whose {module_name}.{qualified_name} has been patched"
        return None


def get_source(module: ModuleType) -> bytes:
    """Return the source text of a module in UTF-8; empty where there is only bytecode, or the file has gone.

    It isn't decoded, which would take as long as everything else that install() does.
    """
    spec = module.__spec__
    loader: Any = spec.loader if spec is not None else None
    try:
        source: bytes = loader.get_data(spec.origin if spec is not None else "")
    except (AttributeError, OSError):
        return b""
    # One byte is found in a tenth of the time that two take.
    return source.replace(b"\r\n", b"\n") if b"\r" in source else source


def _find_known(text: bytes, module_name: str) -> dict[str, bool]:
    """Return for each definition of a module with this source text whether it is known.

    The text isn't kept: the next one then finds its memory ready.
    """
    prefix = f"{module_name}:"
    return {name: _is_known(text, name) for name in FINGERPRINTS if name.startswith(prefix)}


def _is_known(text: bytes, name: str) -> bool:
    """Return whether a module with this source text has a definition as it is known, under its name in FINGERPRINTS."""
    known, qualified_name = FINGERPRINTS[name], name.partition(":")[2]
    indent = 4 * qualified_name.count(".")
    return any(
        is_definition(text, begin, begin + length, indent) and _hash(text[begin : begin + length]) in known
        for begin, length in POSITIONS.get(name, ())[::-1]  # the newest first
    ) or (compute_fingerprint(text, qualified_name) in known)


def is_definition(text: bytes, begin: int, end: int, indent: int) -> bool:
    """Return whether lines begin and end there, and what follows isn't part of a definition with this indentation."""
    if not text[begin - 1 : begin] == text[end : end + 1] == b"\n":
        return False
    following = text[end : end + 99].lstrip(b"\n")
    code = following.lstrip(b" ")
    goes_on = len(following) - len(code) > indent or code[:1] in (b"#", b")")
    return not goes_on if code else end + 99 > len(text)


def compute_fingerprint(text: bytes, qualified_name: str) -> str:
    """Return the hash of one definition in a module's source text; that of empty text if it isn't there."""
    return _hash(find_definition(text, qualified_name)[1])


def find_definition(text: bytes, qualified_name: str) -> tuple[int, bytes]:
    """Return where a definition begins in a module's source text, and the text of it; empty text if it isn't there."""
    position = 0
    for depth, name in enumerate(qualified_name.split(".")):
        begin, text = _find(text, name, 4 * depth)
        position += begin
    return position, text


def _hash(text: bytes) -> str:
    return sha256(text).hexdigest()[:16]


def _find(text: bytes, name: str, indent: int) -> tuple[int, bytes]:
    # By plain search: a pattern for each name would take longer to compile and run than everything else.
    for start in (f"{keyword} {name}{mark}" for keyword in ("class", "def", "async def") for mark in "(:"):
        begin = text.find(f"\n{' ' * indent}{start}".encode()) + 1
        if begin:
            end = re.compile(_NEXT_DEFINITION[indent]).search(text, begin)
            return begin, text[begin : end.start() if end else len(text)].rstrip()
    return 0, b""


def _is_patched(module: ModuleType, qualified_name: str) -> bool:
    name, _, function_name = qualified_name.partition(".")
    owner, namespace = getattr(module, name), vars(module)
    if isinstance(owner, type):
        members = [vars(owner)[function_name]] if function_name else vars(owner).values()
    else:
        members = [owner]
    others = [each for each in members if type(each) is not FunctionType or each.__globals__ is not namespace]
    return any(_is_foreign(each, namespace) for each in others if callable(each))


def _is_foreign(member: Any, namespace: dict[str, Any]) -> bool:
    function = getattr(member, "__func__", member)  # of a static method
    if not isinstance(function, FunctionType):
        function = getattr(function, "__wrapped__", None)  # of a cached function
    if not isinstance(function, FunctionType):
        return True
    is_ours = str(function.__globals__.get("__name__")).startswith("tornado_speedups.")  # from another hook
    return function.__globals__ is not namespace and not is_ours
