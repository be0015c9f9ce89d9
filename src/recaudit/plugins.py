"""Plug-ins by entry point: listing names imports nothing; a plug-in is imported when it is asked for.

What comes with recaudit is registered in its ``pyproject.toml`` under the same groups as anybody's.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar

from recaudit.errors import UsageError, nearest

__all__ = ["Registry"]

T = TypeVar("T")
OURS = "recaudit"


class Registry(Mapping[str, T], Generic[T]):
    """The plug-ins of one group, by name, in the order of their names.

    Listing and looking for a name import nothing; taking a plug-in imports its module, once.

    Args:
        group: the group of entry points, such as ``recaudit.models``.
        kind: what one is called in messages, such as ``model``.
        taken: makes the plug-in of the object that an entry point names; ``None`` where it cannot be one.
        expected: what the object should be, for the message where it isn't.
    """

    def __init__(self, group: str, *, kind: str, taken: Callable[[Any], T | None], expected: str) -> None:
        self.group, self.kind = group, kind
        self._taken, self._expected = taken, expected
        self._loaded: dict[EntryPoint, T] = {}

    def __getitem__(self, name: str) -> T:
        """Return the plug-in of this name.

        Raises:
            KeyError: where there is none.
            UsageError: where it cannot be loaded, or isn't what it should be.
        """
        entry = self._entries[name]
        if entry not in self._loaded:
            self._loaded[entry] = self._load(entry)
        return self._loaded[entry]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def find(self, name: str, *, where: str) -> T:
        """Return the plug-in of this name.

        Args:
            name: its name.
            where: the option or key to name in errors, such as ``victim``.

        Raises:
            UsageError: for an unknown name, with the nearest known one, and as ``registry[name]`` does.
        """
        if not self:
            raise UsageError(f"{where}: no {self.kind} is registered at all; install recaudit again")
        if name not in self:
            raise UsageError(f"{where}: unknown {self.kind} {name!r}{nearest(name, self)}")
        return self[name]

    def package(self, name: str) -> str | None:
        """Return name and version of the package that a plug-in comes from; ``None`` for recaudit's own.

        A key of stored results holds recaudit's version anyway.
        """
        entry = self._entries.get(name)
        if entry is None or entry.dist is None or entry.dist.name == OURS:
            return None
        return f"{entry.dist.name} {entry.dist.version}"

    @property
    def _entries(self) -> Mapping[str, EntryPoint]:
        return _entries(self.group)

    def _load(self, entry: EntryPoint) -> T:
        whose = f"{self.kind} {entry.name!r} of {_package(entry)} ({entry.value})"
        try:
            found = entry.load()
            plugin = self._taken(found)
        except Exception as error:  # whatever a stranger's module raises
            told = " ".join(f"{type(error).__name__}: {error}".split())
            raise UsageError(f"{whose} cannot be loaded: {told}") from error
        if plugin is None:
            raise UsageError(f"{whose} is no {self.kind}: expected {self._expected}, found {found!r:.60}")
        return plugin


@lru_cache  # a scan of all installed packages takes some 50 ms
def _entries(group: str) -> Mapping[str, EntryPoint]:
    """Return the entry points of a group by name.

    Raises:
        UsageError: where two packages register the same name.
    """
    found: dict[str, EntryPoint] = {}
    for entry in entry_points(group=group):
        other = found.setdefault(entry.name, entry)
        # The same package may be found twice, as where a source tree lies beside its installation.
        if (other.value, _project(other)) != (entry.value, _project(entry)):
            raise UsageError(
                f"plug-ins: {_package(other)} and {_package(entry)} both register {entry.name!r} under "
                f"{group}; uninstall one of them"
            )
    return dict(sorted(found.items()))


def _project(entry: EntryPoint) -> str:
    return "" if entry.dist is None else entry.dist.name


def _package(entry: EntryPoint) -> str:
    return "an unknown package" if entry.dist is None else f"{entry.dist.name} {entry.dist.version}"
