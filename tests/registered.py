"""Plug-ins that a test registers as if a package of theirs were installed."""

import itertools
import sys
import types
from importlib.metadata import EntryPoint
from types import SimpleNamespace

from recaudit import plugins

NUMBERS = itertools.count()


def register(monkeypatch, group, *, package="models-of-mine", version="1.0", **found):
    """Register objects by name under ``group`` until the test ends, beside all that is registered; return the package.

    Names may be given with ``_`` for ``-``. The package's version may be changed later.
    """
    module = types.ModuleType(f"registered_by_a_test_{next(NUMBERS)}")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    dist = SimpleNamespace(name=package, version=version)
    mine = {}
    for name, value in found.items():
        setattr(module, name, value)
        told = name.replace("_", "-")
        mine[told] = EntryPoint(name=told, value=f"{module.__name__}:{name}", group=group)._for(dist)
    before = plugins._entries
    monkeypatch.setattr(plugins, "_entries", lambda asked: before(asked) | (mine if asked == group else {}))
    return dist
