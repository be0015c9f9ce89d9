"""Plug-ins: what is registered, when it is imported, and what is said where it cannot be used."""

import subprocess
import sys
import textwrap
from importlib.metadata import distribution

import pytest
from pydantic import BaseModel

from recaudit import plugins
from recaudit.attacks.registry import MEMBERSHIP_ATTACKS, STEALING_ATTACKS
from recaudit.data.readers.registry import FORMATS
from recaudit.errors import UsageError
from recaudit.models.registry import MODELS
from recaudit.oracle.registry import DEFENCES
from recaudit.plugins import Registry
from recaudit.victims.registry import VICTIMS
from registered import register

REGISTRIES = (MODELS, VICTIMS, STEALING_ATTACKS, MEMBERSHIP_ATTACKS, DEFENCES, FORMATS)


@pytest.fixture(autouse=True)
def _scanned_anew():
    plugins._entries.cache_clear()
    yield
    plugins._entries.cache_clear()


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Return what installs a package with one module, ``mine``, and entry points."""

    def install(entries, source="", *, name="mine", version="2.1"):
        folder = tmp_path / f"{name}-{version}"
        info = folder / f"{name}-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(textwrap.dedent(entries))
        (folder / f"{name}.py").write_text(textwrap.dedent(source))
        monkeypatch.syspath_prepend(folder)
        monkeypatch.delitem(sys.modules, name, raising=False)
        plugins._entries.cache_clear()

    return install


@pytest.mark.parametrize("registry", REGISTRIES, ids=lambda one: one.group)
def test_all_that_comes_with_recaudit_can_be_loaded_and_is_of_no_package_that_counts(registry):
    assert len(registry) > 0
    for name in registry:
        assert registry[name] is not None
        assert registry.package(name) is None


def test_every_group_of_recaudit_s_has_a_registry():
    registered = distribution("recaudit").entry_points
    ours = {entry.group for entry in registered if entry.group.startswith("recaudit.")}
    assert ours == {registry.group for registry in REGISTRIES}


@pytest.mark.parametrize("registry", [STEALING_ATTACKS, MEMBERSHIP_ATTACKS], ids=lambda one: one.group)
def test_an_attack_s_card_has_the_name_of_its_entry_point(registry):
    assert [one.card.name for one in registry.values()] == list(registry)
    orders = [one.card.order for one in registry.values()]
    assert all(isinstance(order, int) for order in orders)
    assert len({one.card.sentence for one in registry.values()}) == len(registry)


def test_listing_names_imports_no_plugin_and_no_torch():
    script = """
import sys
from recaudit.plugins import Registry
print(sorted(Registry("recaudit.models", kind="model", taken=lambda found: found, expected="")))
print(any(name.partition(".")[0] in ("torch", "numpy", "pydantic") for name in sys.modules))
"""
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    names, heavy = ran.stdout.splitlines()
    assert "'bpr'" in names
    assert heavy == "False"


def test_a_package_s_plugin_is_found_under_its_name_with_the_package_s_version(package):
    package("[recaudit.models]\nalphabet = mine:Alphabet\n", "class Alphabet: pass")
    registry = Registry("recaudit.models", kind="model", taken=lambda found: found, expected="anything")
    assert "alphabet" in registry
    assert "mine" not in sys.modules
    assert registry.find("alphabet", where="victim").__name__ == "Alphabet"
    assert registry.package("alphabet") == "mine 2.1"
    assert registry.package("bpr") is None
    with pytest.raises(KeyError):
        registry["nothing"]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("import what_is_not_there", "ModuleNotFoundError: No module named 'what_is_not_there'"),
        ("", "AttributeError: module 'mine' has no attribute 'Alphabet'"),
    ],
)
def test_a_plugin_that_cannot_be_loaded_is_named_with_its_package_in_one_line(package, source, said):
    package("[recaudit.models]\nalphabet = mine:Alphabet\n", source)
    with pytest.raises(UsageError) as error:
        MODELS["alphabet"]
    assert str(error.value) == f"model 'alphabet' of mine 2.1 (mine:Alphabet) cannot be loaded: {said}"


@pytest.mark.parametrize("registry", REGISTRIES, ids=lambda one: one.group)
def test_a_plugin_that_is_something_else_is_named_with_what_it_should_be(package, registry):
    package(f"[{registry.group}]\nodd = mine:THING\n", "THING = 'a text'")
    with pytest.raises(UsageError) as error:
        registry["odd"]
    said = str(error.value)
    assert said.startswith(f"{registry.kind} 'odd' of mine 2.1 (mine:THING) is no {registry.kind}: expected ")
    assert said.endswith("found 'a text'")
    assert "\n" not in said


def test_two_packages_may_not_register_the_same_name(package):
    package("[recaudit.models]\nalphabet = mine:Alphabet\n")
    package("[recaudit.models]\nalphabet = yours:Alphabet\n", name="yours", version="1")
    with pytest.raises(UsageError, match=r"both register 'alphabet' under recaudit\.models; uninstall one"):
        list(MODELS)


def test_ours_cannot_be_replaced(package):
    package("[recaudit.models]\nbpr = mine:BPR\n")
    with pytest.raises(UsageError, match="both register 'bpr'"):
        MODELS["bpr"]


def test_a_package_found_twice_is_one(package):
    package("[recaudit.models]\nalphabet = mine:Alphabet\n", "Alphabet = 1")
    package("[recaudit.models]\nalphabet = mine:Alphabet\n", "Alphabet = 1", version="2.0")
    assert "alphabet" in MODELS


def test_an_unknown_name_is_told_with_the_nearest(monkeypatch):
    register(monkeypatch, "recaudit.models", alphabet=BaseModel)
    with pytest.raises(UsageError, match=r"^clone: unknown model 'alphabe'; did you mean 'alphabet'\?$"):
        MODELS.find("alphabe", where="clone")


def test_nothing_registered_at_all_is_an_installation_that_failed():
    registry = Registry("recaudit.nothing", kind="toy", taken=lambda found: found, expected="a toy")
    with pytest.raises(UsageError, match=r"^toys: no toy is registered at all; install recaudit again$"):
        registry.find("any", where="toys")
