"""``python -m wheelworks.bench.stub_kernel FILE``: a Jupyter kernel that computes nothing.

Its code is a number: it displays as many messages. It ends with the process that started it. Its messages are those of
Jupyter's protocol 5.3 (https://jupyter-client.readthedocs.io/en/stable/messaging.html).
"""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

_HTML = "<table>" + "<tr><td>1.25</td><td>2.5</td></tr>" * 20 + "</table>"
_INFO = {
    "status": "ok",
    "protocol_version": "5.3",
    "implementation": "stub",
    "implementation_version": "1",
    "banner": "",
    "language_info": {"name": "none", "version": "1", "mimetype": "text/plain", "file_extension": ".txt"},
}


class Kernel:
    """The sockets of a kernel, which answers requests of its information and of displays."""

    def __init__(self, connection: dict[str, Any]) -> None:
        import zmq
        from jupyter_client.session import Session

        self._session = Session(key=connection["key"].encode(), signature_scheme=connection["signature_scheme"])
        self._context = zmq.Context()
        self._connection = connection
        self._poller = zmq.Poller()
        for name in ("shell", "control"):
            self._poller.register(self._bind(name, zmq.ROUTER), zmq.POLLIN)
        self._stdin = self._bind("stdin", zmq.ROUTER)
        self._iopub = self._bind("iopub", zmq.PUB)
        threading.Thread(target=zmq.proxy, args=[self._bind("hb", zmq.ROUTER)] * 2, daemon=True).start()

    def _bind(self, name: str, kind: int) -> Any:
        made = self._context.socket(kind)
        made.bind(f"tcp://{self._connection['ip']}:{self._connection[f'{name}_port']}")
        return made

    def serve(self) -> None:
        """Answer requests until the parent has ended."""
        parent = os.getppid()
        while os.getppid() == parent:
            for socket, _ in self._poller.poll(500):
                self._answer(socket)

    def _answer(self, socket: Any) -> None:
        identities, request = self._session.recv(socket, 0)
        kind = request["msg_type"]
        self._publish("status", {"execution_state": "busy"}, request)
        content: dict[str, Any] = _INFO
        if kind == "execute_request":
            for number in range(int(request["content"]["code"])):
                data = {"text/plain": f"display {number}", "text/html": _HTML}
                self._publish("display_data", {"data": data, "metadata": {}, "transient": {}}, request)
            content = {"status": "ok", "execution_count": 1, "user_expressions": {}}
        self._session.send(socket, kind.replace("request", "reply"), content, request, ident=identities)
        self._publish("status", {"execution_state": "idle"}, request)

    def _publish(self, kind: str, content: dict[str, Any], request: dict[str, Any]) -> None:
        self._session.send(self._iopub, kind, content, request, ident=kind.encode())


if __name__ == "__main__":
    Kernel(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))).serve()
