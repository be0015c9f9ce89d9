"""What a budget of lists allows, and what it does not."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Int64

from recaudit.attacks.stealing.queries import SyntheticQueries
from recaudit.audit.spec import AuditSpec
from recaudit.audit.stealing.spec import Settings
from recaudit.data.split import Split
from recaudit.errors import UsageError
from recaudit.rng import numpy_generator

__all__ = ["affordable", "check_budget"]


def affordable(spec: AuditSpec, split: Split) -> Int64[np.ndarray, "Q"]:
    """Return the queried users that the budget allows beside the validation users' lists.

    They are drawn at random, and a greater budget keeps those of a smaller one: user numbers follow the
    ids of the file, which may tell early users from late ones.

    Raises:
        UsageError: where none are left.
    """
    # Synthetic histories ask for nobody's list: they are paid for by themselves, see check_budget.
    asks = (one.lists and not isinstance(one, SyntheticQueries) for one in spec.surrogates().values())
    if spec.queries is None or not any(asks):
        return split.queried
    left = spec.queries - len(split.validation)
    if left < 1:
        raise UsageError(
            f"queries={spec.queries} leaves no list to learn from beside those of the attacker's "
            f"{len(split.validation)} validation users; raise queries or lower split.validation"
        )
    generator = numpy_generator(0, "budget", split.target.fingerprint)
    return np.sort(generator.permutation(split.queried)[:left])


def check_budget(attacks: Mapping[str, Settings], split: Split, *, queried: int, budget: int | None) -> None:
    """Refuse attacks that synthesise histories where that would fail after hours of training.

    Args:
        attacks: by name.
        split: who is on which side.
        queried: queried users that the budget leaves.
        budget: lists that may be served in all.

    Raises:
        UsageError: where an attack asks for more lists than the budget, or for too few to learn from, or its
            histories are longer than the catalogue.
    """
    for name, settings in attacks.items():
        if not isinstance(settings, SyntheticQueries):
            continue
        lists = settings.n_lists(queried + len(split.validation))
        if budget is not None and lists > budget:
            enough = settings.n_lists(len(split.queried) + len(split.validation))
            raise UsageError(
                f"queries={budget} is less than the {lists} lists that {name} asks for; raise queries to "
                f"{enough}, or lower settings.{name}.times"
            )
        if settings.length > split.target.n_items:
            raise UsageError(
                f"settings.{name}.length: {settings.length} items, but the catalogue has "
                f"{split.target.n_items}; lower length"
            )
        if lists <= settings.length:
            raise UsageError(
                f"settings.{name}.length: {lists} lists ({settings.times:g} times those of {queried} queried "
                f"and {len(split.validation)} validation users) are one history of {settings.length} items "
                f"at most, and none is left to stop by; lower length, or raise times or split.known"
            )
