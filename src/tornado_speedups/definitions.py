"""Find definitions in the source text of a Tornado that isn't as it was released, and tell which of them are known.

The source is hashed because bytecode differs between versions of Python. Distributions change Tornado's files here and
there: what they leave alone is replaced as ever. install() imports this module only for a file that is in no release.
"""

from __future__ import annotations

import re
from hashlib import sha256

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
    "tornado.http1connection:_ExceptionLoggingContext": ("d061dace90362cb7", "f40c76c32e5e5f8c", "3e8c6a0d2be23b30"),
    "tornado.httputil:HTTPServerRequest": (
        "7d14fa38b85e49f6",
        "c07a2263addaf4cd",
        "86fa9d12611afbea",
        "ed5ed30fd4712359",
    ),
    "tornado.httputil:split_host_and_port": ("542645fae433550c", "6211e48a7de2cc39"),
    "tornado.routing:_RoutingDelegate": ("07bd3874c413db88", "548df48f79282a16", "8fcb653cec70d2ca"),
    "tornado.routing:RuleRouter.get_target_delegate": ("61c6ce731bf5841e", "0887197c71007718"),
    "tornado.web:_ApplicationRouter": ("7e80c8167ba39824", "79f9264cdb02723e"),
    "tornado.web:RequestHandler.clear": ("86d10c58e0ae4f66", "70e93529d96b1e19"),
    "tornado.web:RequestHandler.set_header": ("450eeea6f92747ce",),
    "tornado.web:RequestHandler._convert_header_value": ("4baa577f78e46833", "f45beb241c6dba33"),
    "tornado.web:RequestHandler.compute_etag": ("0481437e9d6f36bc", "fc27440da0807f34"),
    "tornado.web:RequestHandler.check_etag_header": ("61c5ada0a15d3a99",),
    "tornado.web:Application.log_request": ("399acf42f9756426",),
    "tornado.routing:RuleRouter.find_handler": ("43f0fe19c047a126", "98c0979c66588cb0"),
    "tornado.routing:AnyMatches": ("adfa9f2779b014e8", "88e274ffad84ede6"),
    "tornado.routing:PathMatches": ("1b590fc0392d7003", "6160285db5f2d05e"),
    "tornado.httputil:parse_body_arguments": (
        "6ab4694ca08f5acf",
        "97c99351bab6960d",
        "1945a3db48fca72c",
        "0d596a137a9365c9",
    ),
}

# What follows a definition at this depth of indentation, in spaces.
_NEXT_DEFINITION = {0: rb"\n(?=[^\s#)])", 4: rb"\n(?= {0,4}[^\s#)])"}


def find_unknown(text: bytes, module_name: str) -> set[str]:
    """Return the definitions in FINGERPRINTS that aren't as they are known in a module with this source text."""
    return {name for name in FINGERPRINTS if name.startswith(f"{module_name}:") and not is_known(text, name)}


def is_known(text: bytes, name: str) -> bool:
    """Return whether a module with this source text has a definition as it is known, under its name in FINGERPRINTS."""
    return compute_fingerprint(text, name.partition(":")[2]) in FINGERPRINTS[name]


def compute_fingerprint(text: bytes, qualified_name: str) -> str:
    """Return the hash of one definition in a module's source text; that of empty text if it isn't there."""
    return sha256(find_definition(text, qualified_name)).hexdigest()[:16]


def find_definition(text: bytes, qualified_name: str) -> bytes:
    """Return the text of a definition in a module's source text; empty text if it isn't there."""
    for depth, name in enumerate(qualified_name.split(".")):
        text = _find(text, name, 4 * depth)
    return text


def _find(text: bytes, name: str, indent: int) -> bytes:
    # By plain search: a pattern for each name would take longer to compile and run than everything else.
    for start in (f"{keyword} {name}{mark}" for keyword in ("class", "def", "async def") for mark in "(:"):
        begin = text.find(f"\n{' ' * indent}{start}".encode()) + 1
        if begin:
            end = re.compile(_NEXT_DEFINITION[indent]).search(text, begin)
            return text[begin : end.start() if end else len(text)].rstrip()
    return b""
