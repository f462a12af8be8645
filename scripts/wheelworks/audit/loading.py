"""Follow the libraries of a wheel's binaries as each system's loader does: which file of the wheel each name leads to.

What the loaders search, besides the system's own folders:

- glibc (``man ld.so``): the RPATH of the binary and of those that loaded it, if it has no RUNPATH; its own RUNPATH. A
  library that is loaded already is found by its SONAME.
- musl (``ldso/dynlink.c``): both kinds of path alike, of the binary and of those that loaded it.
- dyld (``man dyld``): ``@rpath`` is each LC_RPATH of the binary and of those that loaded it, ``@loader_path`` the
  binary's folder, ``@executable_path`` that of Python's program. A loaded library is found by its install name.
- Windows, as CPython 3.8 and later call it: the folder of the extension module, and those that Python code has given to
  ``os.add_dll_directory``. A loaded DLL is found by its file name.

A wheel is installed into ``site-packages``, its ``.data`` folders beside it (PEP 427).
"""

from __future__ import annotations

import posixpath
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice

from wheelworks.audit.linkage import Library, Linkage

SITE_PACKAGES = "lib/python3/site-packages"  # below the prefix of an installation; every system's are as deep or deeper
_DATA = {"purelib": SITE_PACKAGES, "platlib": SITE_PACKAGES, "scripts": "bin", "headers": "include", "data": ""}
_PROGRAM = "bin/python3"
MOST_STEPS = 200_000  # names that are looked up for one wheel; the largest real ones need some thousands

_DEEPEST = 50  # binaries in a chain
_MOST_PLACES = 500  # that are looked at for one name

Chain = tuple[Linkage, ...]  # a binary, the one that loaded it, and so on up to the root


@dataclass
class Load:
    """What happens when ``root`` is loaded: the binaries in order, what each name led to, and what was missing."""

    root: Linkage
    order: list[Linkage] = field(default_factory=list)
    found: dict[tuple[str, str], Linkage] = field(default_factory=dict)  # by member and the library's name
    missing: list[tuple[Linkage, Library, Chain]] = field(default_factory=list)
    unread: set[str] = field(default_factory=set)  # names that led to files which the audit couldn't read


class Loader:
    """The binaries of a wheel that one process can load: those of one format and machine."""

    def __init__(self, linkages: Sequence[Linkage], members: Iterable[str]) -> None:
        self.linkages = linkages
        self.format = linkages[0].facts.format
        self.by_path = {self._fold(find_installed_path(one.member)): one for one in linkages}
        self.paths = frozenset(self._fold(find_installed_path(one)) for one in members)
        self.is_complete = True
        self._steps = 0

    def _fold(self, name: str) -> str:
        return name.casefold() if self.format == "PE" else name

    @cached_property
    def loads(self) -> list[Load]:
        """The loads of each module and program, and then, each by itself, of the libraries that none of them loaded."""
        loads = [self._load(one) for one in self.linkages if one.is_root]
        reached = {one.member for load in loads for one in load.order}
        for one in self.linkages:
            if one.member not in reached:
                loads.append(self._load(one))
                reached |= {other.member for other in loads[-1].order}
        return loads

    def find_bundled(self, name: str) -> Linkage | None:
        """Return a binary of the wheel whose file, SONAME or install name is the one of a library, wherever it lies."""
        file = self._fold(posixpath.basename(name))
        for one in self.linkages:
            if file in (self._fold(one.file_name), self._fold(posixpath.basename(one.name))):
                return one
        return None

    @cached_property
    def _folders(self) -> frozenset[str]:
        return frozenset(map(posixpath.dirname, self.paths))

    def leads_outside(self, folders: Iterable[str]) -> bool:
        """Return whether one of the folders is in site-packages, but no file of the wheel is installed there."""
        return any(self._fold(one) not in self._folders for one in folders if one.startswith(f"{SITE_PACKAGES}/"))

    def _load(self, root: Linkage) -> Load:
        load = Load(root)
        loaded: dict[str, Linkage] = {self._fold(root.name): root} if root.name else {}
        members: set[str] = {root.member}
        waiting: deque[tuple[Linkage, Chain]] = deque([(root, (root,))])
        while waiting:
            current, chain = waiting.popleft()
            load.order.append(current)
            for library in current.links.libraries:
                hit = self._follow(library, chain, load, loaded)
                if hit is not None and hit.member not in members:
                    members.add(hit.member)
                    waiting.append((hit, (hit, *chain[:_DEEPEST])))
        return load

    def _follow(self, library: Library, chain: Chain, load: Load, loaded: dict[str, Linkage]) -> Linkage | None:
        """Find one library of the first binary of a chain, and note the result."""
        name = self._fold(library.name)
        places = list(islice(self._list_places(name, chain), _MOST_PLACES)) if name not in loaded else []
        self._steps += 1 + len(places)
        if self._steps > MOST_STEPS:
            self.is_complete = False
            return None
        hit = loaded.get(name) or next((self.by_path[place] for place in places if place in self.by_path), None)
        if hit is not None:
            load.found[chain[0].member, library.name] = hit
            loaded.update({one: hit for one in (name, self._fold(hit.name)) if one})
        elif self.paths.isdisjoint(places):
            load.missing.append((chain[0], library, chain))
        else:
            load.unread.add(library.name)
        return hit

    def _list_places(self, name: str, chain: Chain) -> Iterator[str]:
        """Yield the installed paths at which the loader looks for a library of the first binary of a chain."""
        if self.format == "PE":
            yield self._fold(posixpath.join(find_folder(chain[-1]), name))
        elif self.format == "ELF":
            yield from _list_elf_places(name, chain)
        else:
            yield from _list_macho_places(name, chain)


def make_loaders(linkages: Iterable[Linkage], members: Collection[str]) -> list[Loader]:
    """Return a loader for each format and machine of a wheel's binaries that fits its platform."""
    groups: dict[tuple[str, str], list[Linkage]] = {}
    for one in linkages:
        groups.setdefault(one.kind, []).append(one)
    return [Loader(group, members) for _, group in sorted(groups.items())]


def find_installed_path(member: str) -> str:
    """Return where a member is installed, relative to the prefix of the installation."""
    first, _, rest = member.partition("/")
    scheme, _, inside = rest.partition("/")
    if first.endswith(".data") and scheme in _DATA:
        return posixpath.join(_DATA[scheme], inside)
    return posixpath.join(SITE_PACKAGES, member)


def find_folder(linkage: Linkage) -> str:
    """Return the folder that a binary is installed in."""
    return posixpath.dirname(find_installed_path(linkage.member))


def list_search_folders(chain: Chain) -> list[str]:
    """Return the folders that the loader searches for a library of the first binary of a chain, system's excepted."""
    kind = chain[0].facts.format
    if kind == "PE":
        return [find_folder(chain[-1])]
    return list(dict.fromkeys(_list_elf_folders(chain) if kind == "ELF" else _list_rpath_folders(chain)))


def _normalize(folder: str, *rest: str) -> str:
    return posixpath.normpath(posixpath.join(folder, *rest))


# -- ELF


def _list_elf_places(name: str, chain: Chain) -> Iterator[str]:
    if "/" in name:
        yield from _expand_origin(name, chain[0])
        return
    yield from (_normalize(folder, name) for folder in _list_elf_folders(chain))


def _list_elf_folders(chain: Chain) -> Iterator[str]:
    is_musl = all(one.libc == "musl" for one in chain[0].platforms) and bool(chain[0].platforms)
    inherited = (
        chain if is_musl else [one for one in chain if one.links.inherits] if chain[0].links.inherits else chain[:1]
    )
    for one in inherited:
        for path in one.links.paths:
            yield from _expand_origin(path, one)


def _expand_origin(path: str, owner: Linkage) -> Iterator[str]:
    """Yield the folders of the installation that a path can mean, by the tokens that ``man ld.so`` lists."""
    for name in ("lib64", "lib"):
        plain = path.replace("${LIB}", name).replace("$LIB", name).replace("${ORIGIN}", "$ORIGIN")
        if plain.startswith("$ORIGIN"):
            yield _normalize(find_folder(owner), "." + plain.removeprefix("$ORIGIN"))
        if "LIB" not in path:
            return


# -- Mach-O


def _list_macho_places(name: str, chain: Chain) -> Iterator[str]:
    head, _, rest = name.partition("/")
    if head == "@rpath":
        yield from (_normalize(folder, rest) for folder in _list_rpath_folders(chain))
    elif head == "@loader_path":
        yield _normalize(find_folder(chain[0]), rest)
    elif head == "@executable_path":
        yield _normalize(_find_program_folder(chain), rest)


def _list_rpath_folders(chain: Chain) -> Iterator[str]:
    for one in chain:
        for path in one.links.paths:
            head, _, rest = path.partition("/")
            if head == "@loader_path":
                yield _normalize(find_folder(one), rest)
            elif head == "@executable_path":
                yield _normalize(_find_program_folder(chain), rest)


def _find_program_folder(chain: Chain) -> str:
    """Return the folder of the running program: the root itself, unless Python loads it."""
    root = chain[-1]
    is_program = root.is_root and not root.file_name.endswith((".so", ".pyd"))
    return find_folder(root) if is_program else posixpath.dirname(_PROGRAM)
