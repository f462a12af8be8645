"""Tell by hashes of its source text which code of Tornado is known, so that it may be replaced or relied upon.

The source is hashed because bytecode differs between versions of Python. A class or function that someone has patched
in memory isn't known either.

After a new version of Tornado: review what has changed in the definitions below, then add their new fingerprints.
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
    "tornado.websocket:WebSocketProtocol": ("5a5b90cc8f826ed3", "f42ce84b7f0e12da"),
    "tornado.websocket:WebSocketProtocol13": ("7a3ac48c272396f0", "08c9c0b6f6187b79", "33304d9376f88d0f"),
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
    "tornado.http1connection:HTTP1Connection.write_headers": ("c240bd8942164798", "92293403cfcdca9f"),
    "tornado.http1connection:HTTP1Connection._format_chunk": ("e1da0db4d77f5055",),
    "tornado.http1connection:HTTP1Connection._on_write_complete": ("b844bc72829df601",),
    "tornado.http1connection:parse_int": ("3d784d096427fd06",),
    "tornado.web:_HandlerDelegate": ("94284e786f863083", "565ba8da059228cc"),
    "tornado.http1connection:HTTP1Connection._read_body": (
        "ea026cc5a078c3f0",
        "fba914ab41eda025",
        "e54043543197ad93",
    ),
    "tornado.http1connection:HTTP1Connection._read_fixed_body": (
        "0bf85be029c7d9de",
        "1a6342f2eea98fd5",
    ),
    "tornado.http1connection:HTTP1Connection.finish": ("74e7a9db1afdf76a",),
    "tornado.http1connection:HTTP1Connection._finish_request": ("5b5696ba2ce048ef",),
    "tornado.http1connection:HTTP1Connection._clear_callbacks": (
        "a9c0e1445c3bcadd",
        "0912739826136ad5",
    ),
    "tornado.http1connection:HTTP1Connection.detach": ("41d9d6c4e625e557",),
    "tornado.http1connection:_ExceptionLoggingContext": (
        "d061dace90362cb7",
        "f40c76c32e5e5f8c",
        "3e8c6a0d2be23b30",
    ),
    "tornado.http1connection:is_transfer_encoding_chunked": ("6e333defbdd096e5",),
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
    "tornado.gen:with_timeout": ("1c7ef704ee0016a1", "bb4b6b1cd4064b2c"),
}

# Other versions are unknown even if these definitions are unchanged, because other code may have changed.
_VERSIONS = ((6, 5), (6, 6))

_NEXT_DEFINITION = {0: re.compile(rb"\n(?=[^\s#)])"), 4: re.compile(rb"\n(?= {0,4}[^\s#)])")}


class TornadoCode:
    """The code of the Tornado that is imported, as it is now; each part is read and checked once."""

    def __init__(self) -> None:
        self._sources: dict[str, bytes] = {}
        self._reasons: dict[str, str | None] = {}

    def explain_unknown(self, names: list[str]) -> str | None:
        """Return why one of these definitions is unknown, None if all are known. Raises ImportError.

        A definition is "module:Class", "module:function" or "module:Class.function".
        """
        if import_module("tornado").version_info[:2] not in _VERSIONS:
            return "a version it doesn't know"
        for name in names:
            if name not in self._reasons:
                self._reasons[name] = self._explain(*name.split(":"))
            if self._reasons[name]:
                return self._reasons[name]
        return None

    def _explain(self, module_name: str, qualified_name: str) -> str | None:
        module = import_module(module_name)
        if module_name not in self._sources:
            self._sources[module_name] = get_source(module)
        if (
            compute_fingerprint(self._sources[module_name], qualified_name)
            not in FINGERPRINTS[f"{module_name}:{qualified_name}"]
        ):
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
    return source.replace(b"\r\n", b"\n") if b"\r\n" in source else source


def compute_fingerprint(text: bytes, qualified_name: str) -> str:
    """Return the hash of one definition in a module's source text; that of empty text if it isn't there."""
    for depth, name in enumerate(qualified_name.split(".")):
        text = _definition(text, name, 4 * depth)
    return sha256(text).hexdigest()[:16]


def _definition(text: bytes, name: str, indent: int) -> bytes:
    # By plain search: a pattern for each name would take longer to compile and run than everything else.
    for start in (f"{keyword} {name}{mark}" for keyword in ("class", "def", "async def") for mark in "(:"):
        begin = text.find(f"\n{' ' * indent}{start}".encode()) + 1
        if begin:
            end = _NEXT_DEFINITION[indent].search(text, begin)
            return text[begin : end.start() if end else len(text)].rstrip()
    return b""


def _is_patched(module: ModuleType, qualified_name: str) -> bool:
    name, _, function_name = qualified_name.partition(".")
    owner = getattr(module, name)
    if isinstance(owner, type):
        functions = [vars(owner)[function_name]] if function_name else vars(owner).values()
    else:
        functions = [owner]
    return any(_is_foreign(each, module) for each in functions if callable(each))


def _is_foreign(member: Any, module: ModuleType) -> bool:
    function = getattr(member, "__func__", member)  # of a static method
    if not isinstance(function, FunctionType):
        function = getattr(function, "__wrapped__", None)  # of a cached function
    if not isinstance(function, FunctionType):
        return True
    is_ours = str(function.__globals__.get("__name__")).startswith("tornado_speedups.")  # from another hook
    return function.__globals__ is not vars(module) and not is_ours
