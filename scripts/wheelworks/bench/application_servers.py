"""The measured applications on Tornado: a chat room, a document of Bokeh, and Jupyter's server with a kernel."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from wheelworks.bench.tornado_servers import Start, listen

MEMBERS = 100
CHANGES = 50  # of a document, in one burst
KERNEL_ID = "00000000-0000-0000-0000-000000000001"
_KERNEL = {
    "argv": [sys.executable, "-m", "wheelworks.bench.stub_kernel", "{connection_file}"],
    "display_name": "stub",
    "language": "none",
}


async def _start_chat() -> int:
    from tornado.web import Application
    from tornado.websocket import WebSocketClosedError, WebSocketHandler

    members: set[WebSocketHandler] = set()

    class Member(WebSocketHandler):
        def open(self, *words: str, **options: str) -> None:
            members.add(self)

        def on_close(self) -> None:
            members.discard(self)

        def on_message(self, message: str | bytes) -> None:
            said = json.loads(message)
            text = json.dumps({"name": said["name"], "text": said["text"], "members": len(members)})
            for member in list(members):
                try:
                    member.write_message(text)
                except WebSocketClosedError:
                    members.discard(member)

    return listen(Application([("/", Member)]))


async def _start_bokeh() -> int:
    from bokeh.application import Application
    from bokeh.application.handlers.function import FunctionHandler
    from bokeh.document import Document
    from bokeh.models import Div
    from bokeh.server.tornado import BokehTornado
    from tornado.ioloop import IOLoop

    def make_document(document: Document) -> None:
        texts = [Div(text="") for _ in range(CHANGES)]
        for one in texts:
            document.add_root(one)

        def change_all(step: int) -> None:
            for number, one in enumerate(texts):
                one.text = f"<b>{number}</b>: step {step} of the application"

        document.on_message("burst", change_all)

    application = BokehTornado({"/": Application(FunctionHandler(make_document))})
    application.initialize(IOLoop.current())
    application.start()
    return listen(application)


async def _start_jupyter() -> int:
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)  # the kernel may still be writing there
    kernel = Path(folder, "data", "kernels", "stub")
    kernel.mkdir(parents=True)
    (kernel / "kernel.json").write_text(json.dumps(_KERNEL))
    os.environ |= {f"JUPYTER_{name.upper()}_DIR": f"{folder}/{name}" for name in ("data", "config", "runtime")}
    from jupyter_server.serverapp import ServerApp

    application: Any = ServerApp()
    limits = [f"--ZMQChannelsWebsocketConnection.limit_rate={False}"]  # a limit would drop messages
    access = ["--IdentityProvider.token=", "--ServerApp.disable_check_xsrf=True", "--allow-root"]
    words = [*limits, *access, f"--ServerApp.root_dir={folder}", "--log-level=ERROR"]
    application.initialize(words, find_extensions=False, new_httpserver=False)
    await application.kernel_manager.start_kernel(kernel_id=KERNEL_ID, kernel_name="stub")
    return listen(application.web_app)


APPLICATIONS: dict[str, Start] = {"chat": _start_chat, "bokeh": _start_bokeh, "jupyter": _start_jupyter}
