"""Modules and their functions: creation, contents, and calls from Python into guest code."""

from __future__ import annotations

import inspect
import types
from collections.abc import Sequence

from wheelworks.emulator import exports as c
from wheelworks.emulator.capi.calls import call_method
from wheelworks.emulator.definition import Method, ModuleDefinition, read_definition, read_methods
from wheelworks.emulator.faults import Fault
from wheelworks.emulator.objects import GuestObject
from wheelworks.emulator.state import ProcessState


class EmulatedFunction:
    """A function of the guest, an attribute of its module."""

    def __init__(self, state: ProcessState, method: Method, module: GuestObject) -> None:
        self._state, self._method, self._module = state, method, module
        self.__name__ = self.__qualname__ = method.name
        self.__doc__, self.__text_signature__ = _split_doc(method)

    def __call__(self, *args: object, **kwargs: object) -> object:
        """Run the machine code."""
        return call_method(self._state, self._method, [self._module.value], args, kwargs)

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
    return PyModule_AddObjectRef(state, module, value.__name__, kind)


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
