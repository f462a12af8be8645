"""A garbage collector for the instances of the guest's types, which checks their ``tp_traverse`` and ``tp_clear``.

This program's own collector doesn't see references in guest memory. This one therefore follows both kinds: fields that
``tp_traverse`` visits, and what Python objects refer to. As in CPython, an object is reachable if it has more
references than the others account for, or if a reachable object refers to it (InternalDocs/garbage_collector.md).

It is run twice. The second time, it also follows each field that holds an object's address, where such fields account
for all references of that object. What only the second run finds is a cycle that CPython would never free.
"""

from __future__ import annotations

import gc
import sys
import types
from collections import Counter
from collections.abc import Iterable, Iterator

from wheelworks.emulator import exports as c
from wheelworks.emulator.faults import Fault
from wheelworks.emulator.objects import GuestObject, Unfinished
from wheelworks.emulator.state import ProcessState, pause_collector
from wheelworks.emulator.types import TP_CLEAR, TP_TRAVERSE, Body, Instance, list_object_members, replace_field

Edges = dict[Instance, list[GuestObject]]


@pause_collector()
def collect(state: ProcessState) -> int:
    """Free the unreachable instances, and return their number. Raises Fault for a wrong traverse or clear function."""
    gc.collect()
    state.check_leaks()
    garbage = _find_garbage(state)
    _clear_all(state, garbage)
    gc.collect()
    state.check_leaks()
    for made in garbage:
        if not made.freed:
            raise Fault("reference-leak", f"{made} is in a cycle that tp_clear doesn't break")
    return len(garbage)


def _find_garbage(state: ProcessState) -> list[Instance]:
    visited = {made: traverse(state, made) for made in _list_instances(state)}
    state.visited = []  # it must not keep the objects
    _check_visits(state, visited)
    garbage = find_unreachable(state, visited)
    _check_missed(state, visited, garbage)
    return garbage


def _list_instances(state: ProcessState) -> list[Instance]:
    return [made for made in state.instances if isinstance(made, Instance)]


def traverse(state: ProcessState, made: Instance) -> list[GuestObject]:
    """Return the objects that an instance's tp_traverse visits."""
    if not made.tracked:
        return []
    state.visited = []
    function = made.guest_type.find_slot(TP_TRAVERSE) or state.stubs["subtype_traverse"]
    try:
        result = state.run_code(function, [made.address, state.stubs["visit_reference"], made.address])
    except Fault as found:
        raise found.placed(function=f"tp_traverse of {made.guest_type.name}") from None
    if result & 0xFFFFFFFF:
        raise Fault("bad-api-use", f"tp_traverse of {made.guest_type.name} returned {result}, not the visitor's result")
    return state.visited


def _check_visits(state: ProcessState, visited: Edges) -> None:
    """Raise Fault for an object that is visited more often than there are references to it."""
    for made, visits in Counter(made for found in visited.values() for made in found).items():
        count = state.objects.get_refcount(made)
        if not made.permanent and visits > count:
            owner = next(owner for owner, found in visited.items() if made in found)
            name = owner.guest_type.name
            raise Fault("bad-api-use", f"tp_traverse of {name} visits {made} {visits} times; it has {count} references")


def _check_missed(state: ProcessState, visited: Edges, garbage: list[Instance]) -> None:
    """Raise Fault for a field that tp_traverse should visit, because the cycle through it is never freed."""
    stored = {made: _list_missed(state, made, found) for made, found in visited.items()}
    complete = {made: [*found, *stored[made].values()] for made, found in visited.items()}
    for made in find_unreachable(state, complete):
        for offset, target in stored[made].items() if made not in garbage and made.tracked else ():
            if isinstance(target, Instance) or gc.is_tracked(target.value):
                name = made.guest_type.name
                what = (
                    f"tp_traverse of {name} doesn't visit the field at {offset}, {target}: their cycle is never freed"
                )
                raise Fault("reference-leak", what)


def _list_missed(state: ProcessState, made: Instance, visited: list[GuestObject]) -> dict[int, GuestObject]:
    """Return the fields with objects that aren't visited, by offset, where fields account for all references."""
    found = {}
    start, layout = state.abi.header, state.abi.packer("P")
    for offset in range(start, made.block.size - layout.size + 1, layout.size):
        address = layout.unpack(state.memory.peek(made.address + offset, layout.size))[0]
        target = state.objects.find(address) if address and state.objects.knows(address) else None
        if target is None or target.permanent or isinstance(target.value, type) or target in visited:
            continue
        if state.count_stored(address) == state.objects.get_refcount(target) - target.held:
            found[offset] = target
    return found


def _clear_all(state: ProcessState, garbage: list[Instance]) -> None:
    """Call tp_clear of each instance, which is held meanwhile."""
    for made in garbage:
        state.objects.hold(made)
    for made in garbage:
        function = made.guest_type.find_slot(TP_CLEAR) or state.stubs["subtype_clear"]
        if made.tracked:
            try:
                state.run_code(function, [made.address])
            except Fault as found:
                raise found.placed(function=f"tp_clear of {made.guest_type.name}") from None
        state.objects.drop(made)


# -- reachability


def find_unreachable(state: ProcessState, edges: Edges) -> list[Instance]:
    """Return the instances that neither Python nor the guest can reach but by references among them."""
    hosts = _list_hosts(edges)
    graph: dict[int, list[int]] = {
        identity: [id(value) for value in gc.get_referents(value)] for identity, value in hosts.items()
    }
    incoming = Counter(target for targets in graph.values() for target in targets)
    owned = Counter(made for found in edges.values() for made in found)
    roots = {id(made) for made in edges if _has_other_owner(state, made, owned)}
    for made in {*owned, *edges}:
        if _has_value(made) and not _has_other_owner(state, made, owned):
            incoming[id(made.value)] += _keeps_value(made)  # the reference by which this program keeps the value
    roots |= _list_roots(hosts, incoming)
    for made, found in edges.items():
        graph[id(made)] = [id(made.value)] if _has_value(made) else []
        graph[id(made)] += [id(target) if isinstance(target, Instance) else id(target.value) for target in found]
        if _has_value(made):
            graph.setdefault(id(made.value), []).append(id(made))
    reached = _follow(roots, graph)
    return [made for made in edges if id(made) not in reached]


def _has_other_owner(state: ProcessState, made: GuestObject, owned: Counter[GuestObject]) -> bool:
    """Return whether there are references of the guest, or of this program, that no edge accounts for."""
    return made.permanent or made.held > 0 or state.objects.get_refcount(made) > owned[made]


def _has_value(made: GuestObject) -> bool:
    return made.has_value() if isinstance(made, Instance) else not isinstance(made.value, Unfinished)


def _keeps_value(made: GuestObject) -> bool:
    return made.keeps_value() if isinstance(made, Instance) else True


def _list_hosts(edges: Edges) -> dict[int, object]:
    """Return the Python objects that the instances' own ones lead to, by identity.

    Types and modules count as reachable, so that what only they lead to need not be looked at.
    """
    globals_ = {id(module.__dict__) for module in list(sys.modules.values()) if hasattr(module, "__dict__")}
    found: dict[int, object] = {}
    waiting = [made.value for made in _list_objects(edges) if _has_value(made)]
    while waiting:
        value = waiting.pop()
        leaf = isinstance(value, (type, types.ModuleType, Body, GuestObject)) or id(value) in globals_
        if not leaf and id(value) not in found and gc.is_tracked(value):
            found[id(value)] = value
            waiting += gc.get_referents(value)
    return found


def _list_objects(edges: Edges) -> Iterator[GuestObject]:
    yield from edges
    for targets in edges.values():
        yield from targets


def _list_roots(hosts: dict[int, object], incoming: Counter[int]) -> set[int]:
    """Return the objects with more references than those counted in ``incoming`` and this program's own."""
    probe = object()
    hosts[0] = probe
    del probe
    counts = {identity: sys.getrefcount(value) for identity, value in hosts.items()}
    own = counts.pop(0)
    del hosts[0]
    return {identity for identity, count in counts.items() if count - own > incoming[identity]}


def _follow(roots: Iterable[int], graph: dict[int, list[int]]) -> set[int]:
    reached, waiting = set(), list(roots)
    while waiting:
        node = waiting.pop()
        if node not in reached:
            reached.add(node)
            waiting += graph.get(node, ())
    return reached


# -- what the guest calls


@c.export()
def visit_reference(state: ProcessState, made: c.Object, argument: c.Pointer) -> c.Int:
    """Note what a traverse function visits."""
    state.visited.append(made)
    return 0


@c.export()
def subtype_traverse(state: ProcessState, made: c.Object, visit: c.Pointer, argument: c.Pointer) -> c.Int:
    """Visit the object members and the type. Raises Fault if a traverse function of the guest calls it otherwise."""
    assert isinstance(made, Instance)
    for offset in list_object_members(made.guest_type):
        address = state.memory.load_pointer(made.address + offset)
        if address:
            state.visited.append(state.objects.find(address))
    state.visited.append(state.objects.wrap(made.kind))
    return 0


@c.export()
def subtype_clear(state: ProcessState, made: c.Object) -> c.Int:
    """Clear the object members."""
    assert isinstance(made, Instance)
    for offset in list_object_members(made.guest_type):
        replace_field(state, made.address + offset, 0)
    return 0


@c.export()
def PyGC_Collect(state: ProcessState) -> c.Ssize:
    return gc.collect()


c.export_operations((), c.Int, PyGC_IsEnabled=gc.isenabled)
