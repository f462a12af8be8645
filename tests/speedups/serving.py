"""A server on a free port of this machine."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port


@asynccontextmanager
async def serving(server: HTTPServer) -> AsyncIterator[int]:
    """Serve until the context ends, which closes all connections. Yields the port."""
    listener, port = bind_unused_port()
    server.add_socket(listener)
    try:
        yield port
    finally:
        server.stop()
        await server.close_all_connections()
