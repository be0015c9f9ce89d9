"""Nodes: what their keys hold, what they leave out, and the order in which they are computed."""

import dataclasses
import json

import pytest
from pydantic import BaseModel, ConfigDict, Field

from planted import TEXTS, text_node
from recaudit.pipeline import keys
from recaudit.pipeline.keys import KINDS, Key
from recaudit.pipeline.node import LATER, Node, kept_nodes, key_values


def node(kind="model", inputs=None, needs=None, label="", compute=str) -> Node[str]:
    return Node(kind=kind, inputs=inputs or {}, needs=needs or {}, compute=compute, codec=TEXTS, label=label)


# --- keys -------------------------------------------------------------------------------------------------


def test_a_key_holds_kind_inputs_and_the_keys_of_the_needs() -> None:
    victim = node(inputs={"seed": 3})
    judged = node(kind="judged", inputs={"row": "PTD"}, needs={"victim": victim})
    assert victim.key == Key(kind="model", inputs={"seed": 3})
    assert judged.key == Key(kind="judged", inputs={"row": "PTD", "needs": {"victim": victim.key.hash}})
    json.dumps(judged.key.inputs)  # plain values alone


@pytest.mark.parametrize(
    "other",
    [
        node(kind="clone", inputs={"a": 1}, needs={"n": node()}),
        node(inputs={"a": 2}, needs={"n": node()}),
        node(inputs={"a": 1, "b": None}, needs={"n": node()}),
        node(inputs={"a": 1}, needs={"m": node()}),
        node(inputs={"a": 1}, needs={"n": node(inputs={"far": "below"})}),
        node(inputs={"a": 1}, needs={"n": node(), "more": node()}),
        node(inputs={"a": 1}),
    ],
)
def test_another_kind_input_or_need_is_another_key(other) -> None:
    assert node(inputs={"a": 1}, needs={"n": node()}).key.hash != other.key.hash


def test_label_and_function_are_no_part_of_the_key() -> None:
    assert node(label="training bpr").key.hash == node(label="training", compute=lambda: "b").key.hash


def test_a_raised_revision_changes_keys_of_its_kind_and_of_what_needs_them(monkeypatch) -> None:
    def hashes() -> list[str]:
        model = node()
        judged = node(kind="judged", needs={"model": model})
        return [model.key.hash, judged.key.hash, node(kind="lists").key.hash]

    before = hashes()
    monkeypatch.setattr(keys, "KINDS", {**KINDS, "model": KINDS["model"] + 1})
    after = hashes()
    assert [one == other for one, other in zip(before, after, strict=True)] == [False, False, True]


# --- specs in keys ----------------------------------------------------------------------------------------


class Inner(BaseModel):
    model_config = ConfigDict(frozen=True)
    rate: float = 0.1
    decay: float = Field(default=0.0, json_schema_extra=LATER)


class Spec(BaseModel):
    model_config = ConfigDict(frozen=True)
    size: int = 8
    inner: Inner = Inner()
    biases: bool = Field(default=False, json_schema_extra=LATER)
    layers: list[int] = Field(default_factory=lambda: [4], json_schema_extra=LATER)
    other: Inner | None = None


def test_the_default_of_a_field_that_came_later_is_left_out() -> None:
    assert key_values(Spec()) == {"size": 8, "inner": {"rate": 0.1}, "other": None}
    assert key_values(Spec(biases=False, layers=[4], inner=Inner(decay=0))) == key_values(Spec())


def test_another_value_of_a_field_that_came_later_is_there() -> None:
    changed = Spec(biases=True, layers=[4, 2], inner=Inner(decay=0.5), other=Inner(rate=1))
    assert key_values(changed) == {
        "size": 8,
        "inner": {"rate": 0.1, "decay": 0.5},
        "biases": True,
        "layers": [4, 2],
        "other": {"rate": 1.0},
    }


def test_the_name_of_a_spec_s_class_is_no_part_of_a_key() -> None:
    class Renamed(Spec):
        pass

    assert key_values(Renamed()) == key_values(Spec())


# --- the order --------------------------------------------------------------------------------------------


def test_kept_nodes_come_once_each_after_its_needs() -> None:
    victim = text_node("victim")
    served = text_node("served", kept=False, victim=victim)
    shadow = text_node("shadow")
    twin = text_node("shadow")  # the same node, described again
    first, second = text_node("first", served=served, shadow=shadow), text_node("second", a=served, b=twin)
    found = [one.label for one in kept_nodes([first, second, victim])]
    assert found == [f"writing {name}" for name in ("victim", "shadow", "first", "second")]


def test_kept_needs_look_through_transient_nodes() -> None:
    deep, near = text_node("deep"), text_node("near")
    below = text_node("below", kept=False, deep=deep)
    above = text_node("above", kept=False, below=below, near=near)
    kept = text_node("kept", deep=deep)
    assert text_node("top", above=above, beside=kept).kept_needs == {
        node.key.hash for node in (deep, near, kept)
    }
    assert deep.kept_needs == frozenset()


def test_a_node_stays_as_it_is() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        node().kind = "clone"  # type: ignore[misc]
