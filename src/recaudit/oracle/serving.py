"""What a service serves to its own users, the members, and to users whom it was not trained on, strangers."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Int64

from recaudit.data.interactions import Interactions
from recaudit.errors import UsageError
from recaudit.models.protocol import Recommender, TopK
from recaudit.models.ranking import top_k
from recaudit.models.zoo.baselines import PopularityRecommender
from recaudit.oracle.defences import MembershipDefence, RandomItems, noisy
from recaudit.oracle.draws import drawn, user_blocks, user_numbers
from recaudit.rng import child_seed
from recaudit.victims.protocol import Queries

__all__ = ["FOLDING", "SERVINGS", "Service", "Serving", "served"]

Serving = Literal["popular", "popular-unmasked", "popular-random", "fold-in", "everyone-folded"]
"""What strangers get; members get their own lists from the model, except where everyone is folded.

- "popular": the k most popular items that they have not seen. Popularity counts the interactions that the
  model was trained on; equally popular items go by item number.
- "popular-unmasked": the k most popular items, seen or not, the same for all of them.
- "popular-random": k items drawn at random, in random order, from the 10 k most popular unseen ones
  (popularity randomisation, the defence of Zhang et al., CCS 2021, section 6).
- "fold-in": the best unseen items by the folded users.
- "everyone-folded": as fold-in, and the members too, so that the model's own user vectors serve nobody.
"""

SERVINGS: tuple[str, ...] = get_args(Serving)
"""The names of all servings."""

FOLDING = ("fold-in", "everyone-folded")
"""The servings that need the folded users."""

POOL = 10
"""popular-random draws a list of k items from this many times k popular ones."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Service:
    """One fitted recommender as it serves C users, of whom it knows some.

    Args:
        recommender: the model; knows the users of ``trained``.
        trained: the histories that it was fitted on.
        accounts: the number in ``trained`` of each served user, -1 for a stranger. A member's history there
            is the one that they are served by.
        folded: the served users folded into the model, all of them, numbered 0..C-1; only the servings
            "fold-in" and "everyone-folded" need it.
    """

    recommender: Recommender
    trained: Interactions
    accounts: Int64[np.ndarray, "C"]
    folded: Recommender | None = None


def served(
    serving: Serving,
    service: Service,
    users: Interactions,
    k: int,
    *,
    seed: int,
    defence: MembershipDefence | None = None,
) -> Int64[np.ndarray, "C k"]:
    """Return the list of each of ``users``, best first; -1 fills a list that has fewer than k items.

    A defence changes whatever is ranked by a model, folded users' lists included. It leaves popular lists as
    they are: nothing in them was learned from the strangers who get them, so there is nothing to hide,
    and a list of random popular items is a serving of its own. A defence can thereby tell members from
    strangers by itself; an attack on the defended lists shows it.

    All that is random is fixed by the seed and the user's number in ``users`` (or, for the noise on a
    member's scores, in ``service.trained``), so that asking again reveals nothing more.

    Args:
        serving: what strangers get; see :data:`Serving`.
        service: the model and whom it knows.
        users: the histories of the C served users.
        k: length of the lists, at least 1.
        seed: names the random streams; two services should not share it.
        defence: changes the output of the model; ``None`` for nothing.

    Raises:
        UsageError: where the defence changes more items than a list holds.
        ValueError: where the parts of the service and the users do not fit together.
    """
    defence = defence or MembershipDefence()
    if defence.random_items > k:
        raise UsageError(
            f"random_items={defence.random_items} of lists of {k} items; lower random_items or lengthen the "
            "lists"
        )
    _refuse_misfits(serving, service, users)
    folded = np.ones(users.n_users, dtype=np.bool_) if serving == "everyone-folded" else service.accounts < 0
    members, strangers = np.flatnonzero(~folded), np.flatnonzero(folded)
    lists = np.full((users.n_users, k), -1, dtype=np.int64)
    model = noisy(service.recommender, defence.score_noise, child_seed(seed, "members"))
    lists[members] = top_k(model, service.accounts[members], service.trained, k).items
    ranked = members
    if service.folded is not None and serving in FOLDING:
        model = noisy(service.folded, defence.score_noise, child_seed(seed, "folded"))
        lists[strangers] = top_k(model, strangers, users, k).items
        ranked = np.arange(users.n_users)
    else:
        lists[strangers] = _popular(serving, service.trained.popularity, users, strangers, k=k, seed=seed)
    if defence.random_items:
        protection = RandomItems(changed=defence.random_items).protect(users, seed)
        lists[ranked] = protection.apply(Queries(users=ranked), TopK(items=lists[ranked])).items
    return lists


def _refuse_misfits(serving: Serving, service: Service, users: Interactions) -> None:
    """Raise where the service was made for other users, other items or another serving."""
    if len(service.accounts) != users.n_users:
        raise ValueError(f"{len(service.accounts)} accounts for {users.n_users} users")
    sizes = {"trained": service.trained.n_items, "recommender": service.recommender.n_items}
    if serving in FOLDING:
        if service.folded is None:
            raise ValueError(f"{serving!r} serves by the folded users, and the service has none")
        if service.folded.n_users != users.n_users:
            raise ValueError(f"{service.folded.n_users} folded users for {users.n_users} users")
        sizes["folded"] = service.folded.n_items
    for part, n_items in sizes.items():
        if n_items != users.n_items:
            raise ValueError(f"{part} has {n_items} items, the users' catalogue {users.n_items}")


def _popular(
    serving: Serving,
    popularity: Int64[np.ndarray, "I"],
    users: Interactions,
    strangers: Int64[np.ndarray, "S"],
    *,
    k: int,
    seed: int,
) -> Int64[np.ndarray, "S k"]:
    """Return the popular list of each of the ``strangers`` among ``users``."""
    order = np.argsort(-popularity, kind="stable")
    if serving == "popular-unmasked":
        best = np.full(k, -1, dtype=np.int64)
        best[: len(order)] = order[:k]
        return np.tile(best, (len(strangers), 1))
    # Places in the order instead of counts: no two are equal, so that none has to be untied.
    places = np.empty(len(order), dtype=np.float32)
    places[order] = np.arange(len(order))
    model = PopularityRecommender(torch.from_numpy(-places), n_users=users.n_users)
    if serving == "popular":
        return top_k(model, strangers, users, k).items
    pool = top_k(model, strangers, users, POOL * k).items
    lists = np.empty((len(strangers), k), dtype=np.int64)
    for rows in user_blocks(strangers):
        numbers = user_numbers(seed, "serving", "popular-random", users=strangers[rows], width=pool.shape[1])
        columns, there = drawn(numbers, pool[rows] >= 0, k)
        lists[rows] = np.where(there, np.take_along_axis(pool[rows], columns, axis=1), -1)
    return lists
