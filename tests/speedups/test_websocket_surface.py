"""What an application can see of a connection itself: attributes, copies, references, subclasses.

Each attribute of Tornado's connections can be read and set, wherever the fast class keeps it.
"""

from __future__ import annotations

import copy
import gc
import pickle
import weakref
from typing import Any

import pytest
from tornado.websocket import WebSocketProtocol, WebSocketProtocol13, _WebSocketParams

from tornado_speedups.websocket.protocol import FastWebSocketProtocol13


class Marker:
    """A value that no code expects."""


def make(protocol: Any, handler: Any = None) -> Any:
    return protocol(handler, False, _WebSocketParams())


# Tornado has a property for this one, and the connection looks at the stream that it gets.
PUBLIC = {"stream"}
NAMES = sorted({*vars(make(WebSocketProtocol13))} - PUBLIC)


def test_the_names_are_those_of_tornado() -> None:
    assert {"handler", "close_code", "client_terminated", "_compressor", "_message_bytes_in"} < {*NAMES}


@pytest.mark.parametrize("name", [*NAMES, *PUBLIC, "selected_subprotocol"])
def test_each_attribute_begins_as_in_tornado(name: str) -> None:
    stock, fast = make(WebSocketProtocol13), make(FastWebSocketProtocol13)
    fast.params = stock.params
    if not hasattr(stock, name):
        assert not hasattr(fast, name)
    else:
        assert getattr(fast, name) == getattr(stock, name)


@pytest.mark.parametrize("name", NAMES)
def test_each_attribute_can_be_set_and_deleted(name: str, protocol: Any) -> None:
    connection = make(protocol)
    before = getattr(connection, name)
    value: Any = before + 7 if type(before) is int else Marker()
    setattr(connection, name, value)
    assert getattr(connection, name) == value
    setattr(connection, name, before)
    if name.endswith(("_in", "_out")):
        return  # a number may be kept where nothing can be missing
    delattr(connection, name)
    with pytest.raises(AttributeError, match=name):
        getattr(connection, name)


@pytest.mark.parametrize("name", ["_message_bytes_in", "_message_bytes_out", "_wire_bytes_in", "_wire_bytes_out"])
@pytest.mark.parametrize("count", [0, 1 << 31, 1 << 40, (1 << 63) - 1])
def test_counts_hold_any_number_of_bytes(name: str, count: int, protocol: Any) -> None:
    connection = make(protocol)
    setattr(connection, name, count)
    assert getattr(connection, name) == count


def test_an_application_can_add_attributes_and_replace_methods(protocol: Any) -> None:
    connection = make(protocol)
    connection.extra, connection.write_message = 1, "mine"
    assert vars(connection)["extra"] == 1 and connection.write_message == "mine"
    assert connection.__dict__ is vars(connection)
    del connection.extra, connection.write_message
    assert not hasattr(connection, "extra") and callable(connection.write_message)


def test_it_is_one_of_tornados() -> None:
    connection = make(FastWebSocketProtocol13)
    assert isinstance(connection, WebSocketProtocol13) and isinstance(connection, WebSocketProtocol)
    assert "FastWebSocketProtocol13 object at 0x" in repr(connection)
    assert connection != make(FastWebSocketProtocol13) and hash(connection) == hash(connection)
    assert FastWebSocketProtocol13.compute_accept_value("x") == WebSocketProtocol13.compute_accept_value("x")
    assert connection.FIN == 0x80 and connection.OPCODE_MASK == 0x0F
    assert FastWebSocketProtocol13.__module__ == "tornado_speedups.websocket.protocol"


def test_all_names_of_tornados_class_are_there() -> None:
    assert {*dir(make(WebSocketProtocol13))} - {*dir(make(FastWebSocketProtocol13))} <= {"_selected_subprotocol"}


def test_weak_references(protocol: Any) -> None:
    connection = make(protocol)
    reference = weakref.ref(connection)
    weak: Any = weakref.WeakKeyDictionary({connection: 1})
    assert reference() is connection and len(weak) == 1
    del connection
    gc.collect()
    assert reference() is None and not weak


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda each: pickle.loads(pickle.dumps(each))])
def test_copies_are_whole_or_refused(duplicate: Any) -> None:
    """Tornado's can be copied without a stream. Nobody needs that, but half a copy would be worse than none."""
    connection = make(FastWebSocketProtocol13, "handler")
    connection.close_code = 1000
    try:
        found = duplicate(connection)
    except TypeError:
        return
    assert found.handler == "handler" and found.close_code == 1000 and found._message_bytes_in == 0


def test_subclasses(protocol: Any) -> None:
    class Own(protocol):  # type: ignore[misc]
        closed: Any = None

        def close(self, code: Any = None, reason: Any = None) -> None:
            self.closed = code, reason

    connection = make(Own, "handler")
    connection._abort()
    assert connection.closed == (None, None) and connection.handler == "handler" and connection.client_terminated


def test_initializing_twice(protocol: Any) -> None:
    connection = make(protocol, "one")
    connection.__init__("two", True, _WebSocketParams())
    assert connection.handler == "two" and connection.mask_outgoing is True


def test_wrong_arguments(protocol: Any) -> None:
    with pytest.raises(TypeError):
        protocol()
    with pytest.raises(TypeError):
        protocol(1, 2, _WebSocketParams(), 4)


def test_one_that_was_never_initialized(protocol: Any) -> None:
    """An instance without its fields says so, wherever it is used."""
    connection = protocol.__new__(protocol)
    for name in NAMES:
        if not name.endswith(("_in", "_out")):
            assert not hasattr(connection, name)
    for use in (lambda: connection.write_message("x"), connection.close, connection._abort):
        with pytest.raises(AttributeError):
            use()
    assert "object at" in repr(connection)
