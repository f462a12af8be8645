"""Explain why a function that install() put into Tornado leaves a call to Tornado's own function.

Each explanation gets the arguments that Tornado's function gets, just before it is called. Only ``counting.py`` asks
for explanations, so that the functions themselves needn't give any.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from tornado.http1connection import HTTP1Connection
from tornado.httputil import HTTPHeaders, ResponseStartLine
from tornado.ioloop import IOLoop
from tornado.iostream import IOStream
from tornado.queues import Queue
from tornado.web import RequestHandler
from tornado.websocket import WebSocketProtocol13

from tornado_speedups import eager
from tornado_speedups.eager import is_reentrant
from tornado_speedups.http import connections, heads, streams
from tornado_speedups.websocket.receiving import is_known

OTHER_STREAM = "the stream is of another class than Tornado's"
OTHER_QUEUE = "the application has replaced the connection's queue"
NOT_PLAIN = "the head isn't plain"
CLIENT = "it is the connection of a client"


def explain_protocol(protocol: Any) -> str:
    """Return why a WebSocket connection keeps this protocol."""
    if protocol is None:
        return "the version of the WebSocket protocol is unknown"
    if type(protocol) is not WebSocketProtocol13:
        return "the application has a protocol of its own"
    return "nest_asyncio is active" if is_reentrant() else "unknown"


def _explain_write_message(protocol: Any, message: Any, binary: bool = False) -> str:
    if not is_known(protocol._transport.stream):
        return OTHER_STREAM
    return "the message isn't exactly bytes or str" if protocol._transport.writes else "the stream limits its writes"


def _explain_receive_frame(protocol: Any) -> str:
    known = is_known(protocol._transport.stream)
    return "the stream's buffer is smaller than the largest message" if known else OTHER_STREAM


def _explain_parse(cls: type, headers: Any, **options: Any) -> str:
    exact = cls is HTTPHeaders and type(headers) is str
    return NOT_PLAIN if exact else "the class or the argument is a subclass of Tornado's or of str"


def _explain_get(headers: Any, key: Any, default: Any = None) -> str:
    return "the headers are of a subclass of Tornado's class"


def _explain_plain(*_: Any) -> str:
    return NOT_PLAIN


def _explain_write_headers(connection: Any, start_line: Any, headers: Any, chunk: Any = None) -> str:
    if connection.is_client:
        return "it is the request of a client"
    if type(start_line) is not ResponseStartLine or type(headers) is not HTTPHeaders:
        return "the start line or the headers are of a class of the application"
    if connection.stream.closed():
        return "the connection is closed"
    return "the response isn't plain, or has a wrong length"


def _explain_format_timestamp(ts: Any) -> str:
    if type(ts) is datetime:
        return "the date is new, or in a time zone"
    if type(ts) is not float or not 0 <= ts < heads.LAST_SECOND:
        return "the time isn't an ordinary number of seconds"
    return "the time is the last microsecond of a second" if ts % 1 > heads.LAST_FRACTION else "a new second has begun"


def _explain_read_until_regex(stream: Any, regex: Any, max_bytes: int | None = None) -> str:
    return "the pattern isn't the end of a head"


def _explain_read_to_buffer(stream: Any) -> str:
    if not is_known(stream):
        return OTHER_STREAM
    if stream._user_read_buffer:
        return "the application reads into its own buffer"
    if stream.read_chunk_size != streams.CHUNK:
        return "the stream has another chunk size than Tornado's"
    return "the stream's buffer is nearly full"


def _explain_handle_events(stream: Any, fd: Any, events: int) -> str:
    if type(stream) is not IOStream:
        return OTHER_STREAM
    if events != IOLoop.READ or stream.closed():
        return "something else has happened than that there is something to read"
    if stream._read_future is not None:
        return "something else than a head is read, or a head that comes in parts"
    return "nobody reads, and no response has just left"


def _explain_write(stream: Any, data: Any) -> str:
    if type(stream) is not IOStream:
        return OTHER_STREAM
    if type(data) is not bytes and type(data) is not memoryview:
        return "the data isn't exactly bytes"
    if stream._closed or stream._connecting:
        return "the stream is closed, or isn't connected yet"
    if stream._write_futures or stream._write_buffer._size:
        return "something is still to be written"
    if stream.max_write_buffer_size is not None:
        return "the stream limits its writes"
    return "the data is long" if len(data) > streams.MAX_WRITE else "the socket is full"


def _explain_set_nodelay(stream: Any, value: bool) -> str:
    if not is_known(stream):
        return OTHER_STREAM
    return "the stream is closed" if stream.socket is None else "the socket refuses the option"


def _explain_read_request(connection: Any, delegate: Any, *arguments: Any) -> str:
    return CLIENT if connection.is_client else OTHER_STREAM


def _explain_read_body(connection: Any, code: int, headers: Any, delegate: Any) -> str:
    if connection.is_client:
        return CLIENT
    if type(headers) is not HTTPHeaders or connections.find_size(headers) is None:
        return "the body is chunked, or has no plain length"
    return "the body is long, or hasn't come with its head"


def _explain_clear_callbacks(connection: Any) -> str:
    return OTHER_STREAM


def _explain_finish(connection: Any) -> str:
    if connection.is_client:
        return CLIENT
    if not is_known(connection.stream) or type(connection) is not HTTP1Connection:
        return OTHER_STREAM
    if connection._chunking_output or connection._expected_content_remaining:
        return "the response is chunked, or has a wrong length"
    if streams.get_flags(connection.stream) & streams.SETS_NODELAY:
        return "the application sets TCP_NODELAY itself"
    return "something is still to be written"


def _explain_detach(connection: Any) -> str:
    return "TCP_NODELAY isn't kept on" if is_known(connection.stream) else OTHER_STREAM


def _explain_get_target_delegate(router: Any, target: Any, request: Any, **parameters: Any) -> str:
    return "the rule leads to neither a handler nor to rules of the application"


def _explain_find_handler(router: Any, request: Any, **parameters: Any) -> str:
    return "the router isn't one of an application's own"


def _explain_parse_body(request: Any) -> str:
    return "the body is a form, or the headers are of a class of the application"


def _explain_clear(handler: Any) -> str:
    return "someone has replaced HTTPHeaders"


def _explain_set_header(handler: Any, name: str, value: Any) -> str:
    if type(handler)._convert_header_value is not RequestHandler._convert_header_value:
        return "the application converts the values of headers itself"
    return "the value is neither an integer nor valid text"


def _explain_compute_etag(handler: Any) -> str:
    return "the response wasn't written at once"


def _explain_check_etag_header(handler: Any) -> str:
    return "the request has If-None-Match"


def _explain_log_request(application: Any, handler: Any) -> str:
    return "the request is logged, or the application may have its own log"


def _explain_execute(delegate: Any) -> str:
    if delegate.stream_request_body:
        return "the body is streamed"
    loop: Any = IOLoop.current().asyncio_loop  # type: ignore[attr-defined]
    if not eager.is_possible(loop):
        return "coroutines don't start eagerly here"
    if not isinstance(delegate.connection, HTTP1Connection):
        return "the connection is of another class than Tornado's"
    if delegate.connection.stream.closed():
        return "the connection is closed"
    return "caches must be emptied for each request"


def _explain_read_message(connection: Any, callback: Any = None) -> str:
    if type(connection.read_queue) is not Queue:
        return OTHER_QUEUE
    return "a message waits for room in the queue" if callback is None else "a callback gets the message"


def _explain_on_message(connection: Any, message: Any) -> str:
    queue = connection.read_queue
    if type(queue) is not Queue:
        return OTHER_QUEUE
    if queue._queue or queue._putters:
        return "the queue is full"
    done = queue._getters[0].done()
    return "a read was cancelled" if done else "something else than read_message() takes from the queue"


REASONS: dict[str, Callable[..., str]] = {
    "httputil:HTTPHeaders.parse": _explain_parse,
    "httputil:HTTPHeaders.get": _explain_get,
    "http1connection:HTTP1Connection._parse_headers": _explain_plain,
    "httputil:parse_request_start_line": _explain_plain,
    "http1connection:HTTP1Connection._read_message": _explain_read_request,
    "http1connection:HTTP1Connection._read_body": _explain_read_body,
    "http1connection:HTTP1Connection._clear_callbacks": _explain_clear_callbacks,
    "http1connection:HTTP1Connection.finish": _explain_finish,
    "http1connection:HTTP1Connection.detach": _explain_detach,
    "routing:_RoutingDelegate.headers_received": _explain_plain,
    "web:_ApplicationRouter.get_target_delegate": _explain_get_target_delegate,
    "routing:RuleRouter.find_handler": _explain_find_handler,
    "httputil:HTTPServerRequest._parse_body": _explain_parse_body,
    "web:RequestHandler.clear": _explain_clear,
    "web:RequestHandler.set_header": _explain_set_header,
    "web:RequestHandler.compute_etag": _explain_compute_etag,
    "web:RequestHandler.check_etag_header": _explain_check_etag_header,
    "web:Application.log_request": _explain_log_request,
    "http1connection:HTTP1Connection.write_headers": _explain_write_headers,
    "httputil:format_timestamp": _explain_format_timestamp,
    "iostream:BaseIOStream.read_until_regex": _explain_read_until_regex,
    "iostream:BaseIOStream._read_to_buffer": _explain_read_to_buffer,
    "iostream:BaseIOStream._handle_events": _explain_handle_events,
    "iostream:BaseIOStream.write": _explain_write,
    "iostream:IOStream.set_nodelay": _explain_set_nodelay,
    "web:_HandlerDelegate.execute": _explain_execute,
    "websocket:WebSocketClientConnection.read_message": _explain_read_message,
    "websocket:WebSocketClientConnection._on_message": _explain_on_message,
    "websocket:WebSocketProtocol13.write_message": _explain_write_message,
    "websocket:WebSocketProtocol13._receive_frame": _explain_receive_frame,
}
