"""Run a program for ``--compare``, in a process that reports its CPU time: ``PORT tornado|speedups PROGRAM...``.

A thread answers each byte that it receives from 127.0.0.1:PORT with the CPU time of the process so far, in seconds, as
a double. It ends the process when the connection ends. It waits otherwise, and so costs the program nothing.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
import threading
import time
from collections.abc import Sequence

from tornado_speedups.commands import run

SUBJECTS = ("tornado", "speedups")
CPU_TIME = struct.Struct("d")


def main(arguments: Sequence[str]) -> int:
    """Run the program, with or without the speedups, and return its exit status."""
    port, subject, *program = arguments
    connection = socket.create_connection(("127.0.0.1", int(port)))
    threading.Thread(target=_report, args=(connection,), daemon=True).start()
    return run.run_program(program, speedups=subject == "speedups")


def _report(connection: socket.socket) -> None:
    try:
        while connection.recv(1):
            connection.sendall(CPU_TIME.pack(time.process_time()))
    except OSError:  # the other process was killed
        pass
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
