"""Types that a module defines, used and derived from in Python, and the defects that only types can have."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from wheelworks.emulator import EmulatedModule, load
from wheelworks.emulator.cpu import Cpu
from wheelworks.emulator.faults import Fault
from wheelworks.emulator.wheel_tests import smoke_test

from tests.fixtures.builds import PLATFORMS, build

pytestmark = pytest.mark.integration

# Of each calling convention, size of pointers and byte order; the others differ from these in nothing that types need.
VARIED = ("win_arm64", "win32", "linux_x86_64", "linux_armv7l_thumb", "linux_s390x")
EACH = [name if name in VARIED else pytest.param(name, marks=pytest.mark.release) for name in PLATFORMS]


@pytest.fixture(params=EACH)
def module(request: pytest.FixtureRequest) -> EmulatedModule:
    return load(build("types.c", request.param))


class Listener:
    """Counts what it is told. Its answer is stored in the field ``spare`` of the object that told it."""

    def __init__(self, answer: Any = None) -> None:
        self.answer, self.heard = answer, 0

    def notify(self, _origin: object) -> object:
        self.heard += 1
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


# -- types and classes that derive from them


def test_python_classes_derive_from_a_type(module: EmulatedModule) -> None:
    class Mixed(module.Base, Listener):  # type: ignore[name-defined,misc]
        __slots__ = ("extra",)

        def add(self, *numbers: int) -> Any:
            return -super().add(*numbers)

    made: Any = Mixed(["answer"])
    made.extra = 1
    assert (made.add(1, 2), made.add(3), made.total) == (-3, -6, 6)
    made.target = listener = Listener("heard")
    assert made.notify() == "heard"  # C's method, since Base comes first
    assert (made.spare, made.heard, listener.heard, made.extra) == ("heard", 0, 1, 1)
    assert isinstance(made, module.Base)
    assert (module.Base.__module__, module.Base.__doc__) == ("fixture", "A base of Python classes.")


def test_fields_are_attributes(module: EmulatedModule) -> None:
    made = module.Base()
    for name in ("target", "spare"):
        with pytest.raises(AttributeError, match=name):
            getattr(made, name)
        with pytest.raises(AttributeError, match=name):
            delattr(made, name)
    made.target = value = object()
    assert made.target is value
    del made.target
    made.total = -(1 << 62)
    assert made.total == -(1 << 62)
    with pytest.raises(OverflowError):
        made.total = 1 << 63
    with pytest.raises(TypeError, match="delete numeric"):
        del made.total
    with pytest.raises(AttributeError):
        made.other = 1


def test_types_call_back_into_python_and_are_called_again(module: EmulatedModule) -> None:
    outer, inner = module.Base(), module.Base()
    inner.target = listener = Listener("answer")

    class Relay:
        def notify(self, origin: object) -> object:
            assert origin is outer
            return inner.notify()

    outer.target = Relay()
    assert outer.notify() == "answer"
    assert (outer.spare, inner.spare, listener.heard) == ("answer", "answer", 1)
    listener.answer = LookupError("from Python")
    with pytest.raises(LookupError, match="from Python"):
        outer.notify()
    assert module.Base().notify() is None


def test_operators_and_constructors(module: EmulatedModule) -> None:
    made = module.Counter("label", step=2)
    assert (repr(made), hash(made), len(made), bool(made)) == ("Counter(0)", 0, 0, False)
    assert (made.label, made.step, made.scale, made.count) == ("label", 2, 0.0, 0)
    assert list(made) == [2, 4]
    assert (made[0], made[-1], made + 4, 4 + made) == (0, 3, 8, "reflected")
    with pytest.raises(IndexError, match="no such count"):
        made[4]
    assert made(1, a=2) == ((1,), {"a": 2})
    assert (made == module.Counter(), module.Counter() == module.Counter(), made != 3) == (False, True, True)
    with pytest.raises(TypeError):
        made < made  # noqa: B015
    with pytest.raises(AttributeError, match="readonly"):
        made.count = 1
    made.label = "other"
    assert made.label == "other"
    del made.label
    assert made.label == "nothing"
    with pytest.raises(TypeError):
        module.Counter(step="x")


def test_methods_of_every_kind(module: EmulatedModule) -> None:
    made = module.Counter()
    assert (made.more(1, 2), made.more()) == ((module.Counter, 2, 1), (module.Counter, 0, 2))
    assert (module.Counter.of("label").label, module.Counter.twice(4), made.twice(5)) == ("label", 8, 10)

    class Derived(module.Counter):  # type: ignore[name-defined,misc]
        pass

    assert (type(Derived.of(1)), Derived().more()) == (Derived, (module.Counter, 0, 3))
    with pytest.raises(TypeError, match="doesn't apply to a 'int' object"):
        module.Counter.more(3)


@pytest.mark.parametrize("platform", EACH)
def test_opaque_instances_of_free_threaded_builds(platform: str) -> None:
    module = load(build("opaque_types.c", platform, abi="abi3t"))
    assert str(module.abi_.python) == "CPython 3.15t stable ABI"

    class Derived(module.Opaque):  # type: ignore[name-defined,misc]
        """Its instances have another type than the one that defines the fields."""

    size = 2 * module.abi_.pointer
    for kind in (module.Opaque, Derived):
        made = kind()
        made.value = held = Listener()
        assert (made.call(), made.call(1, 2), made.value) == ((1, 0, size), (2, 2, size), held)
        watch = weakref.ref(held)
        del made, held
        assert watch() is None
    with pytest.raises(Fault, match="1 past the end of an instance of Derived"):
        Derived().past()


@pytest.mark.parametrize("platform", EACH)
def test_types_that_are_variables(platform: str) -> None:
    module = load(build("static_types.c", platform, abi="cpython-311"))
    lid, box = module.Lid(), module.Box()
    assert (lid.name(), box.name(), len(lid), lid.item, module.Lid.LIMIT) == ("fixture.Lid", "fixture.Box", 0, None, 3)
    box.length = 2
    assert (len(box), -box, isinstance(lid, module.Box)) == (2, -2, True)
    lid.item, box.item = box, lid
    watched = [weakref.ref(lid), weakref.ref(box)]
    del lid, box

    class Derived(module.Lid):  # type: ignore[name-defined,misc]
        """Its type has a reference count, unlike those of the module."""

    made = Derived()
    made.item = made
    assert made.name() == "Derived"
    watched.append(weakref.ref(made))
    del made
    assert module.collect_() == 3
    assert [watch() for watch in watched] == [None] * 3


# -- lifetimes


def test_an_instance_ends_with_its_last_reference(module: EmulatedModule) -> None:
    ended: list[str] = []

    class Watched(module.Base):  # type: ignore[name-defined,misc]
        def __del__(self) -> None:
            ended.append("finalized")

    made, field = Watched(), Listener()
    made.target = field
    watch, watched_field = weakref.ref(made), weakref.ref(field)
    del field
    assert watched_field() is not None
    del made
    assert (watch(), watched_field(), ended) == (None, None, ["finalized"])
    assert module.make("label").label == "label"


def test_an_instance_that_only_c_refers_to_lives(module: EmulatedModule) -> None:
    owner, made = module.Base(), module.Base()
    owner.target = made
    made.total = 5
    watch: Any = weakref.ref(made)
    del made
    gc.collect()
    module.collect_()
    assert watch() is owner.target
    assert owner.target.total == 5
    del owner
    assert watch() is None


def make_cycles(module: EmulatedModule) -> list[weakref.ref[Any]]:
    """Create garbage: objects that refer to themselves directly, through Python, and through each other."""

    class Derived(module.Base):  # type: ignore[name-defined,misc]
        """Has attributes of its own."""

    selfish, listed, first, second, mixed = (Derived() for _ in range(5))
    selfish.target = selfish
    listed.target = [listed]
    first.target, second.spare = second, first
    mixed.own, mixed.target = {"key": [mixed]}, Listener(mixed)
    return [weakref.ref(made) for made in (selfish, listed, first, second, mixed)]


def test_cycles_through_fields_are_collected(module: EmulatedModule) -> None:
    watched = make_cycles(module)
    kept = module.Base()
    kept.target = [watched[3]()]
    assert None not in [watch() for watch in watched]
    assert module.collect_() == 3
    assert [watch() is None for watch in watched] == [True, True, False, False, True]
    del kept
    assert module.collect_() == 2
    assert module.collect_() == 0


def test_deallocators_do_not_run_amid_another_change(monkeypatch: pytest.MonkeyPatch) -> None:
    module = load(build("types.c", "linux_x86_64"))
    unwatch = Cpu.unwatch
    ended: list[int] = []

    class Derived(module.Base):  # type: ignore[name-defined,misc]
        """Its attributes make cycles that Python's own collector frees, at any time."""

    def allocate_and_unwatch(cpu: Cpu, handle: int) -> None:
        before = len(ended)
        garbage = [[] for _ in range(3000)]  # type: ignore[var-annotated]  # Python's collector runs
        assert (len(ended), len(garbage)) == (before, 3000)
        unwatch(cpu, handle)

    monkeypatch.setattr(Cpu, "unwatch", allocate_and_unwatch)
    for _ in range(5):
        made = Derived()
        made.itself = made
        weakref.finalize(made, ended.append, 1)
        assert made.add(*[1] * 100) == 100  # in an array so large that its inside isn't watched
    del made
    gc.collect()
    assert len(ended) == 5


# -- defects


def use_fields(module: EmulatedModule) -> None:
    made = module.Base()
    made.add(1)
    made.target = Listener()
    made.notify()
    del made
    make_cycles(module)


def use_counters(module: EmulatedModule) -> None:
    made = module.Counter(object())
    made.__init__(object())  # drops the first label
    del made
    module.make("label")


DEFECTS: list[tuple[str, str, Callable[[EmulatedModule], None]]] = [
    ("MISSES_FIELD", r"reference-leak: tp_traverse of Base doesn't visit the field at \d+, .*never freed", use_fields),
    ("VISITS_TWICE", "bad-api-use: tp_traverse of Base visits .* 2 times; it has 1 references", use_fields),
    ("CLEARS_NOTHING", "reference-leak: an instance of Derived is in a cycle that tp_clear doesn't break", use_fields),
    ("READS_PAST_END", "heap-buffer-overflow-read: .*1 past the end of an instance of Base", use_fields),
    ("OVERWRITES_FIELD", r"reference-leak: 1 to <object.*, in Counter.__init__\(", use_counters),
    ("LEAKS_FIELD", "reference-leak: 1 to <object.*, in the deallocator of Counter", use_counters),
    ("DROPS_TWICE", "over-decref: .*, in the deallocator of Counter", use_counters),
    ("LEAKS_BLOCK", "memory-leak: a block of 10 bytes was neither freed nor stored", use_counters),
    ("LEAKS_INSTANCE", "memory-leak: an instance of Counter was neither freed nor stored", use_counters),
    ("USES_FREED", "use-after-free: writes .* of an instance of Counter, freed", use_counters),
    ("LEAKS_TYPE", "reference-leak: .* to <class 'fixture.Counter'>", use_counters),
    ("DROPS_TYPE_TWICE", "over-decref: .*type.*Counter", use_counters),
    ("FREES_TWICE", "use-after-free: the object at .* was freed before", use_counters),
    ("CHANGES_ERROR", "error-with-result: it ended with ValueError.*, in the deallocator of Counter", use_counters),
    (
        "DROPS_OWNER",
        "over-decref: the last reference to an instance of Base was dropped while it is",
        use_fields,
    ),
]


def find_defect(module: EmulatedModule, number: int, use: Callable[[EmulatedModule], None]) -> str:
    module.seed(number)
    try:
        use(module)
        module.collect_()
    except Fault as found:
        return str(found)
    return ""


@pytest.mark.parametrize("number", range(1 + len(DEFECTS)), ids=["none", *(name for name, _, _ in DEFECTS)])
def test_defects_of_types_are_found_by_name(module: EmulatedModule, number: int) -> None:
    if number == 0:
        assert find_defect(module, 0, use_fields) == find_defect(module, 0, use_counters) == ""
        return
    name, text, use = DEFECTS[number - 1]
    with pytest.raises(AssertionError, match=text):
        assert find_defect(module, number, use) == "", name


@pytest.mark.parametrize("platform", EACH)
def test_the_smoke_test_creates_instances_and_collects_them(platform: str) -> None:
    verdict = smoke_test(build("types.c", platform))
    assert (verdict.outcome, verdict.findings) == ("passed", ())
    verdict = smoke_test(build("types.c", platform, "-DSEEDED=LEAKS_BLOCK"))
    assert verdict.outcome == "failed"
    assert "memory-leak: a block of 10 bytes" in verdict.findings[0]


def test_what_ended_a_process_is_raised_again() -> None:
    module = load(build("types.c", "linux_aarch64"))
    made, kind = module.Base(), module.Base
    module.seed(4)
    for _ in range(2):
        with pytest.raises(Fault, match="heap-buffer-overflow-read"):
            made.add()
    assert module.Base is not kind
    assert module.Base().add(3) == 3


def test_exceptions_that_end_a_program_pass_through_c(module: EmulatedModule) -> None:
    made = module.Base()
    made.target = Listener(SystemExit("from Python"))
    with pytest.raises(SystemExit, match="from Python"):
        made.notify()
    assert made.add(1) == 1
