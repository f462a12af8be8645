"""Modules and their functions: creation, contents, and calls from Python into guest code."""

from __future__ import annotations

import inspect
import types
from collections.abc import Mapping, Sequence

from wheelworks.core.errors import Unsupported
from wheelworks.emulator import exports as c
from wheelworks.emulator.definition import Method, ModuleDefinition, read_definition, read_methods
from wheelworks.emulator.faults import Fault
from wheelworks.emulator.heap import Block
from wheelworks.emulator.objects import GuestObject
from wheelworks.emulator.state import ProcessState

VARARGS, KEYWORDS, NOARGS, ONE, FASTCALL = 0x1, 0x2, 0x4, 0x8, 0x80
CALLING_FLAGS = VARARGS | KEYWORDS | NOARGS | ONE | FASTCALL | 0x200


class GuestCall:
    """The arguments of one call, to which the caller holds references."""

    def __init__(self, state: ProcessState, method: Method, module: GuestObject) -> None:
        self.state, self.method, self.module = state, method, module
        self.held: list[GuestObject] = []
        self.block: Block | None = None

    def convert_arguments(self, args: Sequence[object], kwargs: Mapping[str, object]) -> list[int]:
        """Return the C function's arguments. Raises TypeError for arguments that its flags don't accept."""
        kind = self.method.flags & CALLING_FLAGS
        name = self.method.name
        if kwargs and not kind & KEYWORDS:
            raise TypeError(f"{name}() takes no keyword arguments")
        if kind in (NOARGS, ONE):
            if len(args) != (kind == ONE):
                wanted = "exactly one argument" if kind == ONE else "no arguments"
                raise TypeError(f"{name}() takes {wanted} ({len(args)} given)")
            return [self.module.address, self._hold(args[0]) if args else 0]
        if kind & FASTCALL and not kind & 0x200:
            return self._convert_fastcall(args, kwargs, bool(kind & KEYWORDS))
        if kind & ~KEYWORDS == VARARGS:
            words = [self.module.address, self._hold(tuple(args))]
            return words + [self._hold(dict(kwargs)) if kwargs else 0] * bool(kind & KEYWORDS)
        raise Unsupported(f"{name} has the calling flags {kind:#x}, which aren't emulated")

    def _convert_fastcall(self, args: Sequence[object], kwargs: Mapping[str, object], keywords: bool) -> list[int]:
        addresses = [self._hold(value) for value in (*args, *kwargs.values())]
        pack = self.state.abi.packer("P" * len(addresses))
        self.block = self.state.memory.allocate(pack.size, "the array of arguments")
        self.state.memory.poke(self.block.start, pack.pack(*addresses))
        self.state.memory.freeze(self.block)
        words = [self.module.address, self.block.start, len(args)]
        return words + [self._hold(tuple(kwargs)) if kwargs else 0] * keywords

    def _hold(self, value: object) -> int:
        made = self.state.objects.hold(self.state.objects.wrap(value))
        self.held.append(made)
        return made.address

    def release(self) -> None:
        """Release the arguments. Raises Fault if the function dropped a reference that it didn't own."""
        for made in reversed(self.held):
            self.state.objects.read_back(made)
            self.state.objects.drop(made)
        if self.block is not None:
            self.state.memory.free(self.block)


def call_method(
    state: ProcessState, method: Method, module: GuestObject, args: Sequence[object], kwargs: Mapping[str, object]
) -> object:
    """Call a function of the guest as CPython would, and check what it leaves behind.

    Returns its result or raises its exception. Raises Fault for wrong code, Unsupported for what isn't emulated.
    """
    outermost = state.depth == 0
    try:
        call = GuestCall(state, method, module)
        address = state.run_code(method.address, call.convert_arguments(args, kwargs))
        result = _take_result(state, address)
        call.release()
        if outermost:
            state.check_leaks()
    except Fault as found:
        state.crashed = True
        raise found.placed(function=method.name, arguments=_describe_arguments(args, kwargs)) from None
    except Unsupported:
        state.crashed = True
        raise
    error = state.take_error()
    if error is not None:
        raise error
    return result


def _take_result(state: ProcessState, address: int) -> object:
    """Return the value of a returned new reference, or None if NULL was returned with an exception."""
    error = state.error
    if address == 0:
        if error is None:
            raise Fault("null-without-error", "NULL was returned, but no exception was set")
        return None
    made = state.objects.find(address)
    if error is not None:
        raise Fault("error-with-result", f"{made} was returned while {error!r} was set")
    value = state.objects.unwrap(made)
    state.objects.remove_reference(made)
    return value


def _describe_arguments(args: Sequence[object], kwargs: Mapping[str, object]) -> str:
    shown = [_shorten(value) for value in args] + [f"{key}={_shorten(value)}" for key, value in kwargs.items()]
    return ", ".join(shown)


def _shorten(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:40]}… ({len(text)} characters)"


class EmulatedFunction:
    """A function of the guest, an attribute of its module."""

    def __init__(self, state: ProcessState, method: Method, module: GuestObject) -> None:
        self._state, self._method, self._module = state, method, module
        self.__name__ = self.__qualname__ = method.name
        self.__doc__, self.__text_signature__ = _split_doc(method)

    def __call__(self, *args: object, **kwargs: object) -> object:
        """Run the machine code."""
        return call_method(self._state, self._method, self._module, args, kwargs)

    def __repr__(self) -> str:
        return f"<emulated function {self.__name__}>"


def _split_doc(method: Method) -> tuple[str | None, str | None]:
    """Return the docstring and the signature, which CPython finds before ``\\n--\\n\\n``."""
    doc = method.doc
    mark = ")\n--\n\n"
    if doc is None or not doc.startswith(f"{method.name}(") or mark not in doc:
        return (inspect.cleandoc(doc) if doc else doc), None
    signature, _, rest = doc.partition(mark)
    return rest, signature[len(method.name) :] + ")"


def create_module(state: ProcessState, definition: ModuleDefinition) -> GuestObject:
    """Create a module with its functions and a zeroed state."""
    module = types.ModuleType(definition.name, definition.doc)
    made = state.objects.wrap(module)
    state.definition, state.module = definition, made
    for method in definition.methods:
        setattr(module, method.name, EmulatedFunction(state, method, made))
    if definition.state_size:
        block = state.module_states[made] = state.memory.allocate(definition.state_size, "the module's state")
        state.memory.poke(block.start, bytes(definition.state_size))
    return made


def run_exec_slots(state: ProcessState, module: GuestObject, slots: Sequence[tuple[str, int]]) -> None:
    """Run the Py_mod_exec slots. Raises the exceptions that they raise, and Fault."""
    for name, address in slots:
        if name == "exec":
            status = state.run_code(address, [module.address]) & 0xFFFFFFFF
            state.check_result(status != 0, "a Py_mod_exec function")


@c.export()
def PyModuleDef_Init(state: ProcessState, definition: c.Pointer) -> c.Pointer:
    read_definition(state.memory, definition)
    state.definitions.add(definition)
    return definition


@c.export("PyModule_Create2TraceRefs")
def PyModule_Create2(state: ProcessState, definition: c.Pointer, version: c.Int) -> c.NewReference:
    """Create a module in single-phase initialisation."""
    read = read_definition(state.memory, definition)
    if read.slots:
        raise SystemError(f"module {read.name}: PyModule_Create is incompatible with m_slots")
    return create_module(state, read)


@c.export()
def PyModule_FromDefAndSpec2(
    state: ProcessState, definition: c.Pointer, spec: c.Object, version: c.Int
) -> c.NewReference:
    return create_module(state, read_definition(state.memory, definition))


@c.export()
def PyModule_ExecDef(state: ProcessState, module: c.Object, definition: c.Pointer) -> c.Int:
    run_exec_slots(state, module, read_definition(state.memory, definition).slots)
    return 0


@c.export()
def PyModule_AddFunctions(state: ProcessState, module: c.Object, methods: c.Pointer) -> c.Int:
    for method in read_methods(state.memory, methods):
        setattr(_check_module(module), method.name, EmulatedFunction(state, method, module))
    return 0


@c.export()
def PyModule_AddObjectRef(state: ProcessState, module: c.Object, name: c.Text, value: c.OptionalObject) -> c.Int:
    if value is None:
        raise state.take_error() or SystemError("PyModule_AddObjectRef() must be called with an exception raised")
    setattr(_check_module(module), name, state.objects.unwrap(value))
    state.objects.borrow(module, state.objects.unwrap(value))
    return 0


@c.export("PyModule_Add")
def PyModule_AddObject(state: ProcessState, module: c.Object, name: c.Text, value: c.OptionalObject) -> c.Int:
    """Steals the reference."""
    PyModule_AddObjectRef(state, module, name, value)
    state.objects.remove_reference(value)
    return 0


@c.export()
def PyModule_AddIntConstant(state: ProcessState, module: c.Object, name: c.Text, value: c.Long) -> c.Int:
    setattr(_check_module(module), name, value)
    return 0


@c.export()
def PyModule_AddStringConstant(state: ProcessState, module: c.Object, name: c.Text, value: c.Text) -> c.Int:
    setattr(_check_module(module), name, value)
    return 0


@c.export()
def PyModule_AddType(state: ProcessState, module: c.Object, kind: c.Object) -> c.Int:
    value = kind.value
    assert isinstance(value, type)
    setattr(_check_module(module), value.__name__, value)
    return 0


@c.export()
def PyModule_GetState(state: ProcessState, module: c.Object) -> c.Pointer:
    block = state.module_states.get(module)
    return block.start if block is not None else 0


@c.export()
def PyModule_GetDef(state: ProcessState, module: c.Object) -> c.Pointer:
    return state.definition.address if state.definition is not None else 0


@c.export()
def PyModule_GetDict(state: ProcessState, module: c.Object) -> c.Borrowed:
    return state.objects.borrow(module, _check_module(module).__dict__)


@c.export()
def PyModule_GetNameObject(state: ProcessState, module: c.Object) -> c.NewReference:
    return _check_module(module).__name__


@c.export()
def PyModule_SetDocString(state: ProcessState, module: c.Object, text: c.Text) -> c.Int:
    _check_module(module).__doc__ = text
    return 0


@c.export()
def PyState_FindModule(state: ProcessState, definition: c.Pointer) -> c.Borrowed:
    known = state.definition
    return state.module if isinstance(known, ModuleDefinition) and known.address == definition else None


c.export_operations((c.Object, c.Pointer), c.Int, PyUnstable_Module_SetGIL=lambda _module, _gil: 0)
c.export_operations((c.Pointer, c.Text), c.Int, PyABIInfo_Check=lambda _info, _name: 0)


def _check_module(made: GuestObject) -> types.ModuleType:
    if not isinstance(made.value, types.ModuleType):
        raise Fault("bad-api-use", f"{made} is given as a module")
    return made.value
