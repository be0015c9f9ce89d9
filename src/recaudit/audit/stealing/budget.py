"""What a budget of lists allows, and what it does not."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from recaudit.attacks.protocol import Knowledge, StealingAttack
from recaudit.errors import UsageError
from recaudit.rng import numpy_generator

__all__ = ["afforded"]


def afforded(
    knowledge: Knowledge, attacks: Mapping[str, StealingAttack], *, budget: int | None, target: str
) -> Knowledge:
    """Return what attackers know where the budget allows the lists of some of the queried users only.

    Where an attack would ask for more lists than the budget, as many queried users stay as it allows beside
    the validation users' lists. They are drawn at random, and a greater budget keeps those of a smaller one:
    user numbers follow the ids of the file, which may tell early users from late ones.

    Args:
        knowledge: what attackers know without a budget.
        attacks: by name.
        budget: lists that an attack may ask for in all; ``None`` for no limit.
        target: the fingerprint of the target's interactions; it names the random stream.

    Raises:
        UsageError: where an attack cannot be carried out with this knowledge, or within the budget; told
            here, before hours of training.
    """
    whole = {name: _asked(name, attack, knowledge) for name, attack in attacks.items()}
    if budget is None or max(whole.values(), default=0) <= budget:
        return knowledge
    left = budget - len(knowledge.validation)
    if left < 1:
        raise UsageError(
            f"queries={budget} leaves no list to learn from beside those of the attacker's "
            f"{len(knowledge.validation)} validation users; raise queries or lower split.validation"
        )
    drawn = numpy_generator(0, "budget", target).permutation(knowledge.queried)
    found = replace(knowledge, queried=np.sort(drawn[:left]))
    for name, attack in attacks.items():
        lists = _asked(name, attack, found)
        if lists > budget:
            raise UsageError(
                f"queries={budget} is less than the {lists} lists that {name} asks for; raise queries to "
                f"{whole[name]}, or leave {name} out"
            )
    return found


def _asked(name: str, attack: StealingAttack, knowledge: Knowledge) -> int:
    """Return how many lists an attack asks for; its refusal names it."""
    try:
        return attack.asks(knowledge)
    except UsageError as error:
        raise UsageError(f"settings.{name}: {error}") from None
