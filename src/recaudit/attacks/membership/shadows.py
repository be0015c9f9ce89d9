"""Shadow models in order: what each user was served by models that knew the user and by models that did not.

To learn what a member's list looks like beside lists that shadow models served the same user, each shadow
model plays the target in turn and is held against others. A user is inside exactly half of the J shadow
models, so if only the played one were left out, the number of the others that know the user would tell
whether the played one does. So a user's shadow models are paired, one that knows them with one that does not:
both play against the other pairs, and every trial compares a list with J/2 - 1 models that know the user and
as many that do not. A target's list is held against the same numbers, once for each pair left out.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Int64, Shaped

from recaudit.attacks.membership.classifiers import Boosting, LogOdds
from recaudit.attacks.membership.features import rich_features
from recaudit.attacks.membership.knowledge import ItemSpace, Listed, MembershipKnowledge
from recaudit.data.interactions import Interactions
from recaudit.rng import child_seed, numpy_generator

__all__ = ["Evidence", "Lists", "ShadowTable", "Strangers", "Trial", "labels_of"]

# Parts of the shadow models, or of the users, that the rich classifier is cross-fitted over.
FOLDS = 4


@dataclass(frozen=True, kw_only=True, eq=False)
class Lists:
    """Lists of U users with what is told from each; leading axes may come before the users.

    Args:
        items: the lists, padded with -1 at their end.
        features: their rich features.
        logits: the rich classifier's log-odds, fitted to other rows.
    """

    items: Int64[np.ndarray, "*A U k"]
    features: Float64[np.ndarray, "*A U F"]
    logits: Float64[np.ndarray, "*A U"]

    def __getitem__(self, index: Any) -> "Lists":
        """Return the lists at an index into the leading axes, as NumPy takes it."""
        return Lists(items=self.items[index], features=self.features[index], logits=self.logits[index])


@dataclass(frozen=True, kw_only=True, eq=False)
class Trial:
    """One list of each user, and the lists of the same users that it is held against.

    Args:
        played: one list of each user; its axes are ``U``.
        reference: lists by R models that did not know the user and, unless the attacker is a stranger to
            them, by R that did; its axes are ``S R U`` with S sides, outside first.
        inside: whether the model that served ``played`` knew its users; ``None`` where that is asked.
    """

    played: Lists
    reference: Lists
    inside: bool | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Strangers:
    """What shadow models that know none of the candidates serve them.

    Args:
        histories: the candidates' histories.
        lists: each model's list for each candidate.
    """

    histories: Interactions
    lists: Int64[np.ndarray, "J C k"]


class ShadowTable:
    """Shadow models by side and pair of each user, and what is learned from them.

    The models were trained on the candidates themselves (the auditor's), or on users of the attacker alone:
    then only models that do not know a user stand in a trial's reference, as of a candidate there are no
    others. The rich classifier is cross-fitted, over pairs of models or, so that it knows the attacker's
    users no better than the candidates, over users.

    Args:
        space: the attacker's items.
        listed: what the users that the models were drawn from are served by them.
        rich: settings of the rich classifier.
        seed: names the classifiers' random streams, and the users' parts.
        strangers: the candidates, where they are others than the users of ``listed``.

    Raises:
        ValueError: where a user is not inside half of the models, or there are fewer than two models.
    """

    def __init__(
        self,
        *,
        space: ItemSpace,
        listed: Listed,
        rich: Boosting,
        seed: int,
        strangers: Strangers | None = None,
    ) -> None:
        self.space, self.rich, self.seed = space, rich, seed
        self.listed, self.strangers = listed, strangers
        self.items = sides(listed.lists, listed.inside)
        self._asked: dict[bytes, tuple[Trial, ...]] = {}

    @property
    def n_pairs(self) -> int:
        """Number of pairs of shadow models a user, H = J/2."""
        return len(self.items[0])

    @cached_property
    def features(self) -> Float64[np.ndarray, "2 H U F"]:
        """Rich features of the shadow lists."""
        listed = self.listed
        return sides(_features(self.space, listed.histories, listed.lists), listed.inside)

    @cached_property
    def classifier(self) -> LogOdds:
        """The rich classifier, fitted to all lists."""
        return self.rich.fit(*_rows(self.features), self.seed)

    @cached_property
    def trials(self) -> tuple[Trial, ...]:
        """Each side of each pair plays against the other pairs."""
        shadows = self._shadows
        return tuple(
            Trial(played=shadows[side, pair], reference=self._others(pair), inside=bool(side))
            for pair in range(self.n_pairs)
            for side in (0, 1)
        )

    def asked(self, items: Int64[np.ndarray, "C k"]) -> tuple[Trial, ...]:
        """Return the trials of served lists.

        There is one for each pair that is left out or, of strangers, one for each run of J/2 - 1 shadow
        models, each model in as many. Attacks that ask of the same lists share them.
        """
        key = items.tobytes()
        if key not in self._asked:
            self._asked[key] = self._asked_anew(items)
        return self._asked[key]

    def _asked_anew(self, items: Int64[np.ndarray, "C k"]) -> tuple[Trial, ...]:
        histories = self.listed.histories if self.strangers is None else self.strangers.histories
        features = rich_features(self.space, histories, items)
        references = self._pairs() if self.strangers is None else self._runs(self.strangers)
        return tuple(
            Trial(played=Lists(items=items, features=features, logits=fitted(features)), reference=reference)
            for fitted, reference in references
        )

    def _pairs(self) -> Iterator[tuple[LogOdds, Lists]]:
        """Yield a classifier and the reference for each pair that is left out."""
        for pair in range(self.n_pairs):
            yield self._cross_fitted[pair % len(self._cross_fitted)], self._others(pair)

    def _runs(self, strangers: Strangers) -> Iterator[tuple[LogOdds, Lists]]:
        """Yield a classifier and the candidates' lists by each run of J/2 - 1 models."""
        n_models, known = len(strangers.lists), self._strangers_features
        for first in range(n_models):
            models = (first + np.arange(self.n_pairs - 1)) % n_models
            fitted = self._cross_fitted[first % len(self._cross_fitted)]
            lists, features = strangers.lists[models], known[models]
            reference = Lists(items=lists, features=features, logits=_log_odds(fitted, features))
            yield fitted, reference[None]

    @cached_property
    def _strangers_features(self) -> Float64[np.ndarray, "J C F"]:
        if self.strangers is None:
            return np.empty((0, 0, 0))
        return _features(self.space, self.strangers.histories, self.strangers.lists)

    def _others(self, pair: int) -> Lists:
        """Return the other pairs' lists: of both sides, or of the models that do not know the user."""
        known_sides = slice(2 if self.strangers is None else 1)
        return self._shadows[known_sides, np.delete(np.arange(self.n_pairs), pair)]

    @cached_property
    def _shadows(self) -> Lists:
        logits = np.empty(self.features.shape[:-1])
        for part, fitted in enumerate(self._cross_fitted):
            logits[:, self._parts == part] = _log_odds(fitted, self.features[:, self._parts == part])
        return Lists(items=self.items, features=self.features, logits=logits)

    @cached_property
    def _parts(self) -> Int64[np.ndarray, "H U"]:
        """The part of each user's pair: its rows are kept from one of the cross-fitted classifiers."""
        n_users = self.listed.histories.n_users
        if self.strangers is None:
            parts = np.arange(self.n_pairs)[:, None] % FOLDS
        else:
            parts = numpy_generator(self.seed, "parts").permutation(n_users) % min(FOLDS, n_users)
        return np.broadcast_to(parts, (self.n_pairs, n_users))

    @cached_property
    def _cross_fitted(self) -> tuple[LogOdds, ...]:
        """Return classifiers; each was fitted without the rows of its part."""
        _check_pairs(self.n_pairs)
        return tuple(
            self.rich.fit(*_rows(self.features[:, self._parts != part]), child_seed(self.seed, "part", part))
            for part in range(int(self._parts.max()) + 1)
        )


class Evidence:
    """An attacker's knowledge with what their attacks share, computed once and when it is first needed.

    Args:
        knowledge: what they may see.
        seed: names the shared classifiers' random streams.
        rich: settings of the rich classifier.
    """

    def __init__(self, knowledge: MembershipKnowledge, seed: int, rich: Boosting | None = None) -> None:
        self.knowledge, self.seed = knowledge, seed
        self.rich = Boosting() if rich is None else rich

    @cached_property
    def auditor(self) -> ShadowTable:
        """The table of ``knowledge.auditor``.

        Raises:
            ValueError: where that is not known.
        """
        if self.knowledge.auditor is None:
            raise ValueError("this attack needs shadow models over the candidates (knowledge.auditor)")
        return ShadowTable(
            space=self.knowledge.space,
            listed=self.knowledge.auditor,
            rich=self.rich,
            seed=child_seed(self.seed, "auditor"),
        )

    @cached_property
    def own(self) -> ShadowTable:
        """The table of ``knowledge.own``.

        Raises:
            ValueError: where that is not known.
        """
        known = self.knowledge
        if known.own is None or known.own_lists is None:
            raise ValueError("this attack needs shadow models over the attacker's own users (knowledge.own)")
        return ShadowTable(
            space=known.space,
            listed=known.own,
            strangers=Strangers(histories=known.candidates, lists=known.own_lists),
            rich=self.rich,
            seed=child_seed(self.seed, "own"),
        )


def sides(
    values: Shaped[np.ndarray, "J U X"], inside: Bool[np.ndarray, "J U"]
) -> Shaped[np.ndarray, "2 H U X"]:
    """Return what is told of each model and user by side and pair: first of models without the user.

    The n-th model without a user, in the order of the models, is paired with the n-th model with them.

    Raises:
        ValueError: where a user is not inside half of the models.
    """
    n_models, n_users = inside.shape
    counts = inside.sum(axis=0)
    if n_models < 2 or (2 * counts != n_models).any():
        raise ValueError(
            f"each user must be inside half of the shadow models; found {counts.min()} to {counts.max()} of "
            f"{n_models}"
        )
    order = np.argsort(inside, axis=0, kind="stable")
    ordered = np.take_along_axis(values, order[:, :, None], axis=0)
    return ordered.reshape(2, n_models // 2, n_users, -1)


def labels_of(trials: Sequence[Trial]) -> Bool[np.ndarray, "N"]:
    """Return the label of each user of each trial, in the trials' order."""
    return np.concatenate([np.full(trial.played.items.shape[0], trial.inside) for trial in trials]).astype(
        bool
    )


def _features(
    space: ItemSpace, histories: Interactions, lists: Int64[np.ndarray, "J U k"]
) -> Float64[np.ndarray, "J U F"]:
    """Return the rich features of each model's lists, together as the target's: some are relative."""
    return np.stack([rich_features(space, histories, each) for each in lists])


def _rows(
    features: Float64[np.ndarray, "2 *A F"],
) -> tuple[Float64[np.ndarray, "N F"], Bool[np.ndarray, "N"]]:
    """Return the features as rows, and their labels: those of the second side are members'."""
    labels = np.zeros(features.shape[:-1], dtype=bool)
    labels[1] = True
    return features.reshape(-1, features.shape[-1]), labels.ravel()


def _log_odds(fitted: LogOdds, features: Float64[np.ndarray, "*A F"]) -> Float64[np.ndarray, "*A"]:
    return fitted(features.reshape(-1, features.shape[-1])).reshape(features.shape[:-1])


def _check_pairs(n_pairs: int) -> None:
    if n_pairs < 2:
        raise ValueError(
            f"comparing with other shadow models needs four of them at least; found {2 * n_pairs}"
        )
