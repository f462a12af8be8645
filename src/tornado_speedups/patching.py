"""Put the speedups into Tornado with install(), take them out with uninstall(), and describe them with status().

A hook is a group of patches that install() switches together; a patch replaces one attribute of Tornado. Tornado is
imported by install(), not before. A hook is left alone if the code of Tornado that it replaces or relies on is unknown.
"""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Callable
from importlib import import_module
from typing import Any

from tornado_speedups import _implementation
from tornado_speedups.fingerprints import TornadoCode
from tornado_speedups.patch import Patch, resolve

_SWITCH = "TORNADO_SPEEDUPS_INSTALL"

_SUBJECTS = {
    "masking": "WebSocket masking",
    "websocket": "WebSocket connections",
    "headers": "HTTP headers",
    "http": "HTTP connections",
}

# The attributes of Tornado that each hook replaces, and the functions of this package that wrap the originals. Masking
# isn't here, because it replaces one function under several names.
_WRAPPERS = {
    "websocket": {
        "websocket:WebSocketHandler.get_websocket_protocol": "patching:wrap_get_websocket_protocol",
        "websocket:WebSocketClientConnection.get_websocket_protocol": "patching:wrap_get_client_protocol",
    },
    "headers": {
        "httputil:HTTPHeaders.parse": "http.heads:wrap_parse",
        "httputil:HTTPHeaders.get": "http.heads:wrap_get",
        "http1connection:HTTP1Connection._parse_headers": "http.heads:wrap_parse_headers",
        "httputil:parse_request_start_line": "http.heads:wrap_parse_request_start_line",
    },
    "http": {
        "http1connection:HTTP1Connection.write_headers": "http.heads:wrap_write_headers",
        "httputil:format_timestamp": "http.heads:wrap_format_timestamp",
        "iostream:BaseIOStream.read_until_regex": "http.streams:wrap_read_until_regex",
        "iostream:BaseIOStream._read_to_buffer": "http.streams:wrap_read_to_buffer",
        "iostream:BaseIOStream._handle_events": "http.streams:wrap_handle_events",
        "iostream:BaseIOStream.write": "http.streams:wrap_write",
        "iostream:IOStream.set_nodelay": "http.connections:wrap_set_nodelay",
        "http1connection:HTTP1Connection._read_message": "http.messages:wrap_read_message",
        "http1connection:HTTP1Connection._read_body": "http.connections:wrap_read_body",
        "http1connection:HTTP1Connection._clear_callbacks": "http.connections:wrap_clear_callbacks",
        "http1connection:HTTP1Connection.finish": "http.connections:wrap_finish",
        "http1connection:HTTP1Connection.detach": "http.connections:wrap_detach",
        "routing:_RoutingDelegate.headers_received": "http.requests:wrap_headers_received",
        "web:_ApplicationRouter.get_target_delegate": "http.requests:wrap_get_target_delegate",
        "routing:RuleRouter.find_handler": "http.requests:wrap_find_handler",
        "httputil:HTTPServerRequest._parse_body": "http.requests:wrap_parse_body",
        "web:RequestHandler.clear": "http.responses:wrap_clear",
        "web:RequestHandler.set_header": "http.responses:wrap_set_header",
        "web:RequestHandler.compute_etag": "http.responses:wrap_compute_etag",
        "web:RequestHandler.check_etag_header": "http.responses:wrap_check_etag_header",
        "web:Application.log_request": "http.responses:wrap_log_request",
        "web:_HandlerDelegate.execute": "http.handlers:wrap_execute",
    },
}

# Attributes that the hook of WebSockets replaces when the first client connects: few applications have clients.
_CLIENT_WRAPPERS = {
    "websocket:WebSocketClientConnection.read_message": "websocket.client:wrap_read_message",
    "websocket:WebSocketClientConnection._on_message": "websocket.client:wrap_on_message",
}

# Attributes that are replaced only where coroutines start eagerly.
EAGER = {"web:_HandlerDelegate.execute"}

_STREAMS = ["tornado.iostream:BaseIOStream", "tornado.iostream:IOStream", "tornado.iostream:SSLIOStream"]

# The definitions of Tornado that each hook must know, because it replaces them or relies on them.
REQUIRED = {
    "masking": ["tornado.util:_websocket_mask_python"],
    "websocket": [
        "tornado.websocket:WebSocketHandler.get_websocket_protocol",
        "tornado.websocket:WebSocketClientConnection.get_websocket_protocol",
        "tornado.websocket:WebSocketClientConnection.read_message",
        "tornado.websocket:WebSocketClientConnection._on_message",
        "tornado.queues:Queue",
        "tornado.websocket:WebSocketProtocol",
        "tornado.websocket:WebSocketProtocol13",
        "tornado.websocket:_PerMessageDeflateCompressor",
        "tornado.websocket:_PerMessageDeflateDecompressor",
        *_STREAMS,
        "tornado.platform.asyncio:BaseAsyncIOLoop",
    ],
    "headers": [
        "tornado.httputil:_ABNF",
        "tornado.httputil:_normalize_header",
        "tornado.httputil:HTTPHeaders",
        "tornado.httputil:parse_request_start_line",
        "tornado.http1connection:HTTP1Connection._parse_headers",
    ],
    "http": [
        "tornado.http1connection:HTTP1Connection",
        "tornado.http1connection:parse_int",
        "tornado.httputil:HTTPHeaders",
        "tornado.httputil:format_timestamp",
        "tornado.web:_HandlerDelegate",
        "tornado.http1connection:_ExceptionLoggingContext",
        "tornado.httputil:HTTPServerRequest",
        "tornado.httputil:split_host_and_port",
        "tornado.routing:_RoutingDelegate",
        "tornado.routing:RuleRouter.get_target_delegate",
        "tornado.routing:RuleRouter.find_handler",
        "tornado.routing:AnyMatches",
        "tornado.routing:PathMatches",
        "tornado.httputil:parse_body_arguments",
        "tornado.web:_ApplicationRouter",
        "tornado.web:RequestHandler.clear",
        "tornado.web:RequestHandler.set_header",
        "tornado.web:RequestHandler._convert_header_value",
        "tornado.web:RequestHandler.compute_etag",
        "tornado.web:RequestHandler.check_etag_header",
        "tornado.web:Application.log_request",
        *_STREAMS,
    ],
}

_ZLIB = "websocket:zlib"
_MASK = "_websocket_mask"

# Every module that binds the function. A Tornado without it in the first two is unknown.
_MASK_MODULES = ("util", "websocket", "web")


class UnknownCodeError(Exception):
    """This Tornado is unknown to the hook. The message is a clause that follows the version of Tornado."""


def install(
    *,
    masking: bool = True,
    websocket: bool = True,
    headers: bool = True,
    http: bool = True,
    eager: bool = True,
    zlib: Any = None,
) -> None:
    """Put the speedups into Tornado, for the whole process and the connections to come.

    ``masking`` replaces the function that masks frames, ``websocket`` the class of WebSocket connections, ``headers``
    the parsing of HTTP heads, ``http`` the writing of them, and how HTTP uses sockets. ``eager=False`` lets coroutines
    of the application begin a turn of the event loop later, as in Tornado. ``zlib`` is a module that compresses
    WebSocket messages in place of Python's zlib, such as ``zlib_ng.zlib_ng``. What has been installed stays: later
    calls only add. Hooks for which Tornado's code is unknown are left alone, with one RuntimeWarning for all of them
    after everything else has been installed. Hooks that would replace Tornado's masking in C with Python are left alone
    silently. With TORNADO_SPEEDUPS_INSTALL=0 in the environment, nothing is installed. Raises ImportError if Tornado is
    missing; TypeError or ValueError, before anything is installed, if ``zlib`` can't take the place of Python's zlib.
    """
    if _is_off():
        return
    if zlib is not None:
        _check_zlib(zlib, websocket)
    wanted = {"masking": masking, "websocket": websocket, "headers": headers, "http": http}
    with _lock:
        code = TornadoCode()
        if not _installed:
            _set_eager(eager)
        names = [name for name in _SUBJECTS if wanted[name] and name not in _installed]
        unknown = {name: reason for name in names if (reason := _install_hook(name, code))}
        if zlib is not None:
            _replace_zlib(zlib)
    if unknown:
        warnings.warn(_describe_unknown(unknown), RuntimeWarning, stacklevel=2)


def _check_zlib(module: Any, websocket: bool) -> None:
    from tornado_speedups import compression  # few applications need it

    if not websocket:
        raise ValueError("zlib is for WebSocket connections: it needs websocket=True")
    compression.check_module(module)


def _replace_zlib(module: Any) -> None:
    """Let the WebSocket connections to come use a module instead of zlib, if they are installed and use none yet."""
    patches, text = _installed["websocket"]
    if patches and all(patch.target != _ZLIB for patch in patches):
        patch = Patch(_ZLIB, module)
        patch.apply()
        _installed["websocket"] = [*patches, patch], f"{text} with {module.__name__}"


def uninstall() -> None:
    """Restore what install() replaced; without install() before it, nothing changes.

    Open connections keep the code that they began with. Attributes that someone else has replaced since stay theirs.
    """
    with _lock:
        for patches, _ in _installed.values():
            for patch in patches:
                patch.undo()
        if _installed:
            _set_eager(True)
        _installed.clear()
        _client_originals.clear()


def status() -> dict[str, str]:
    """Return for each hook "installed", "not installed", or why it was left to Tornado; and why there is no C.

    What replaces zlib is named with the WebSocket connections: "installed with zlib_ng.zlib_ng".
    """
    note = f"; in Python: {_implementation.why_no_c}" if _implementation.why_no_c else ""
    absent = f"not installed: {_SWITCH}=0 turns the speedups off" if _is_off() else "not installed"
    with _lock:
        return {name: _installed[name][1] + note if name in _installed else absent for name in _SUBJECTS}


def _is_off() -> bool:
    """Return whether the environment turns the speedups off, without a change of the application."""
    return os.environ.get(_SWITCH) == "0"


def list_patches() -> list[Patch]:
    """Return the functions that install() has replaced, and replaces when the first client of a WebSocket connects."""
    with _lock:
        _replace_client_methods()
        return [patch for patches, _ in _installed.values() for patch in patches if patch.target != _ZLIB]


def _set_eager(enabled: bool) -> None:
    from tornado_speedups import eager  # imports asyncio, which takes longer than this whole package

    eager.enabled = enabled


def _is_eager() -> bool:
    from tornado_speedups import eager

    return eager.enabled and eager.SUPPORTED


def _install_hook(name: str, code: TornadoCode) -> str | None:
    """Install a hook and record its status. Return why it was left to Tornado if that is unknown."""
    version = import_module("tornado").version
    try:
        reason = code.explain_unknown(REQUIRED[name])
        if reason:
            raise UnknownCodeError(reason)
        patches = _find_patches(name)
    except UnknownCodeError as error:
        _installed[name] = [], f"left to Tornado {version}, {error}"
        return str(error)
    for patch in patches:
        patch.apply()
    _installed[name] = patches, "installed" if patches else f"left to Tornado {version}, whose C is faster"
    return None


def _describe_unknown(reasons: dict[str, str]) -> str:
    """Return one line for all hooks that were left to Tornado, with the reason of each."""
    by_reason: dict[str, list[str]] = {}
    for name, reason in reasons.items():
        by_reason.setdefault(reason, []).append(_SUBJECTS[name])
    version = import_module("tornado").version
    parts = [f"{', '.join(subjects)} to Tornado {version}, {reason}" for reason, subjects in by_reason.items()]
    return f"tornado_speedups leaves {'; '.join(parts)}"


def _find_patches(name: str) -> list[Patch]:
    if name == "masking":
        patches = _find_mask_patches()
        return [] if _is_masking_slower() else patches
    if name == "websocket" and _is_masking_slower():
        return []
    left_out = set() if _is_eager() else EAGER
    patches = [_wrap_attribute(*names) for names in _WRAPPERS[name].items() if names[0] not in left_out]
    if name == "websocket":
        _client_originals.update({target: Patch(target).original for target in _CLIENT_WRAPPERS})
    return patches


def _find_mask_patches() -> list[Patch]:
    modules = {name: import_module(f"tornado.{name}") for name in _MASK_MODULES}
    missing = [name for name in _MASK_MODULES[:2] if not callable(getattr(modules[name], _MASK, None))]
    if missing:
        raise UnknownCodeError(f"which has no {' and no '.join(f'tornado.{name}.{_MASK}' for name in missing)}")
    targets = [f"{name}:{_MASK}" for name, module in modules.items() if hasattr(module, _MASK)]
    patches = [Patch(target, _implementation.websocket_mask) for target in targets]
    in_python = import_module("tornado.util")._websocket_mask_python
    for patch in patches:
        if not _is_tornados_c(patch.original) and patch.original is not in_python:
            raise UnknownCodeError(f"whose {patch.owner.__name__}.{_MASK} has been patched")
    return patches


def _is_tornados_c(function: Any) -> bool:
    return getattr(function, "__module__", None) == "tornado.speedups"


def _is_masking_slower() -> bool:
    """Return whether our masking would replace Tornado's C with Python, which is about five times slower."""
    function = getattr(import_module("tornado.util"), _MASK, None)
    return _implementation.implementation == "python" and _is_tornados_c(function)


def _wrap_attribute(target: str, wrapper: str) -> Patch:
    module, function = resolve(f"tornado_speedups.{wrapper}")
    return Patch(target, wrap=getattr(module, function))


def wrap_get_websocket_protocol(original: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Wrap the method of handlers and clients that makes the object for a WebSocket connection.

    The first connection imports the code for all of them: it is a third of what install() would import, and many
    applications have no WebSockets. If the code can't be read any more, connections are left to Tornado.
    """

    def get_websocket_protocol(self: Any) -> Any:
        try:
            from tornado_speedups.websocket.protocol import replace_protocol
        except ImportError as error:  # the process has changed its root, or the package has been removed
            _report_unreadable(error)
            return original(self)
        return replace_protocol(original(self))

    return get_websocket_protocol


def wrap_get_client_protocol(original: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Wrap the same method of clients. The first connection replaces their methods for reading, too."""
    get_protocol = wrap_get_websocket_protocol(original)

    def get_websocket_protocol(self: Any) -> Any:
        if _client_originals:
            try:
                with _lock:
                    _replace_client_methods()
            except ImportError as error:
                _report_unreadable(error)
        return get_protocol(self)

    return get_websocket_protocol


def _replace_client_methods() -> None:
    """Replace the methods of clients that nobody has replaced since install(), if it was called. Raises ImportError."""
    while _client_originals:
        target, original = _client_originals.popitem()
        if Patch(target).original is original:
            patch = _wrap_attribute(target, _CLIENT_WRAPPERS[target])
            patch.apply()
            _installed["websocket"][0].append(patch)


def _report_unreadable(error: ImportError) -> None:
    import_module("tornado.log").gen_log.warning("tornado_speedups leaves a WebSocket to Tornado: %s", error)


_lock = threading.Lock()

# The originals of the methods of clients, from install() until the first client connects, by the names of the methods.
_client_originals: dict[str, Any] = {}

# For each hook that install() was called for: the patches in place, and what status() says.
_installed: dict[str, tuple[list[Patch], str]] = {}
