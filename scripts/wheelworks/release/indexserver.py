"""A program: run pypiserver on loopback until stdin ends, which happens however the parent ends; print its port."""

import sys
import threading
import wsgiref.simple_server
from socketserver import ThreadingMixIn

import pypiserver


class _Server(ThreadingMixIn, wsgiref.simple_server.WSGIServer):
    daemon_threads = True


def main(folder: str) -> None:
    """Serve ``folder``, which receives uploads, without authentication: the server is reachable on loopback only."""
    # The server keeps the beginning of an interrupted upload: overwrite lets the next upload complete it.
    settings = {"password_file": ".", "authenticate": [], "disable_fallback": True, "overwrite": True}
    app = pypiserver.app(roots=[folder], **settings)
    server = wsgiref.simple_server.make_server("127.0.0.1", 0, app, _Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdout.write(f"{server.server_port}\n")
    sys.stdout.flush()
    sys.stdin.read()


main(sys.argv[1])
