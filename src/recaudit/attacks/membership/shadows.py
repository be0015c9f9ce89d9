"""Shadow models in order: what each user was served by models that knew him and by models that did not.

To learn what a member's list looks like beside lists that shadow models served the same user, each shadow
model plays the target in turn and is held against others. A user is inside exactly half of the J shadow
models, so if only the played one were left out, the number of the others that know him would tell whether the
played one does. So a user's shadow models are paired, one that knows him with one that does not: both play
against the other pairs, and every trial compares a list with J/2 - 1 models that know the user and as many
that do not. A target's list is held against the same numbers, once for each pair left out.
"""

from collections.abc import Sequence
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

__all__ = ["AuditorTable", "Evidence", "Lists", "StrangerTable", "Table", "Trial", "labels_of"]

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
        reference: lists by R models that did not know the user and, unless the attacker is a stranger to him,
            by R that did; its axes are ``S R U`` with S sides, outside first.
        inside: whether the model that served ``played`` knew its users; ``None`` where that is asked.
    """

    played: Lists
    reference: Lists
    inside: bool | None = None


class AuditorTable:
    """Shadow models that were trained on the candidates themselves.

    Args:
        space: the attacker's items.
        listed: what the candidates are served by the shadow models.
        rich: settings of the rich classifier.
        seed: names the classifiers' random streams.

    Raises:
        ValueError: where a user is not inside half of the models, or there are fewer than two models.
    """

    def __init__(self, *, space: ItemSpace, listed: Listed, rich: Boosting, seed: int) -> None:
        self.space, self.rich, self.seed = space, rich, seed
        self.histories, self.listed = listed.histories, listed
        self.items = sides(listed.lists, listed.inside)

    @cached_property
    def features(self) -> Float64[np.ndarray, "2 H U F"]:
        """Rich features of the shadow lists."""
        return sides(_features(self.space, self.histories, self.listed.lists), self.listed.inside)

    @cached_property
    def classifier(self) -> LogOdds:
        """The rich classifier, fitted to all lists."""
        return self.rich.fit(*_rows(self.features), self.seed)

    @cached_property
    def trials(self) -> tuple[Trial, ...]:
        """Each side of each pair plays against the other pairs."""
        shadows = self._shadows
        return tuple(
            Trial(played=shadows[side, pair], reference=shadows[:, self._others(pair)], inside=bool(side))
            for pair in range(self.n_pairs)
            for side in (0, 1)
        )

    def asked(self, items: Int64[np.ndarray, "U k"]) -> tuple[Trial, ...]:
        """Return the trials of served lists: one a pair that is left out."""
        features = rich_features(self.space, self.histories, items)
        logits = [fitted(features) for fitted in self._cross_fitted]
        return tuple(
            Trial(
                played=Lists(items=items, features=features, logits=logits[pair % len(logits)]),
                reference=self._shadows[:, self._others(pair)],
            )
            for pair in range(self.n_pairs)
        )

    @property
    def n_pairs(self) -> int:
        """Number of pairs of shadow models a user, H = J/2."""
        return len(self.items[0])

    @cached_property
    def _shadows(self) -> Lists:
        logits = np.empty(self.features.shape[:-1])
        for part, fitted in enumerate(self._cross_fitted):
            pairs = np.arange(part, self.n_pairs, len(self._cross_fitted))
            logits[:, pairs] = _log_odds(fitted, self.features[:, pairs])
        return Lists(items=self.items, features=self.features, logits=logits)

    @cached_property
    def _cross_fitted(self) -> tuple[LogOdds, ...]:
        """Return classifiers; the one at ``pair % FOLDS`` was fitted without that pair."""
        _check_pairs(self.n_pairs)
        parts = np.arange(self.n_pairs) % FOLDS
        return tuple(
            self.rich.fit(*_rows(self.features[:, parts != part]), child_seed(self.seed, "part", part))
            for part in range(min(FOLDS, self.n_pairs))
        )

    def _others(self, pair: int) -> Int64[np.ndarray, "R"]:
        return np.delete(np.arange(self.n_pairs), pair)


class StrangerTable:
    """Shadow models over the attacker's own users, and what they serve candidates, whom none of them knows.

    Only models that do not know a user stand in a trial's reference: of a candidate there are no others. The
    rich classifier is cross-fitted over users, so that it knows its own users no better than the candidates.

    Args:
        space: the attacker's items.
        listed: what the attacker's own users are served by the shadow models.
        histories: the candidates' histories.
        lists: what the candidates are served by the same models.
        rich: settings of the rich classifier.
        seed: names the classifiers' random streams, and the users' parts.

    Raises:
        ValueError: as :class:`AuditorTable` does.
    """

    def __init__(
        self,
        *,
        space: ItemSpace,
        listed: Listed,
        histories: Interactions,
        lists: Int64[np.ndarray, "J C k"],
        rich: Boosting,
        seed: int,
    ) -> None:
        self.space, self.rich, self.seed = space, rich, seed
        self.own, self.histories, self.listed = listed.histories, histories, listed
        self.items, self.lists = sides(listed.lists, listed.inside), lists

    @cached_property
    def features(self) -> Float64[np.ndarray, "2 H U F"]:
        """Rich features of the shadow lists of the attacker's own users."""
        return sides(_features(self.space, self.own, self.listed.lists), self.listed.inside)

    @cached_property
    def classifier(self) -> LogOdds:
        """The rich classifier, fitted to all lists of the attacker's own users."""
        return self.rich.fit(*_rows(self.features), self.seed)

    @cached_property
    def trials(self) -> tuple[Trial, ...]:
        """Each side of each pair plays against the other pairs' models that do not know the user."""
        logits = np.empty(self.features.shape[:-1])
        for part, fitted in enumerate(self._cross_fitted):
            users = self._parts == part
            logits[:, :, users] = _log_odds(fitted, self.features[:, :, users])
        shadows = Lists(items=self.items, features=self.features, logits=logits)
        n_pairs = self.items.shape[1]
        return tuple(
            Trial(
                played=shadows[side, pair],
                reference=shadows[:1, np.delete(np.arange(n_pairs), pair)],
                inside=bool(side),
            )
            for pair in range(n_pairs)
            for side in (0, 1)
        )

    def asked(self, items: Int64[np.ndarray, "C k"]) -> tuple[Trial, ...]:
        """Return the trials of served lists: one a run of J/2 - 1 shadow models, each model in as many."""
        features = rich_features(self.space, self.histories, items)
        n_models, length = len(self.lists), self.items.shape[1] - 1
        trials = []
        for first in range(n_models):
            models = (first + np.arange(length)) % n_models
            fitted = self._cross_fitted[first % len(self._cross_fitted)]
            known = self._candidates_features[models]
            reference = Lists(items=self.lists[models], features=known, logits=_log_odds(fitted, known))
            played = Lists(items=items, features=features, logits=fitted(features))
            trials.append(Trial(played=played, reference=reference[None]))
        return tuple(trials)

    @cached_property
    def _candidates_features(self) -> Float64[np.ndarray, "J C F"]:
        return _features(self.space, self.histories, self.lists)

    @cached_property
    def _parts(self) -> Int64[np.ndarray, "U"]:
        n_users = self.own.n_users
        return numpy_generator(self.seed, "parts").permutation(n_users) % min(FOLDS, n_users)

    @cached_property
    def _cross_fitted(self) -> tuple[LogOdds, ...]:
        """Return classifiers; each was fitted without the users of its part."""
        _check_pairs(self.items.shape[1])
        return tuple(
            self.rich.fit(
                *_rows(self.features[:, :, self._parts != part]), child_seed(self.seed, "part", part)
            )
            for part in range(self._parts.max() + 1)
        )


Table = AuditorTable | StrangerTable


class Evidence:
    """An attacker's knowledge with what his attacks share, computed once and when it is first needed.

    Args:
        knowledge: what he may see.
        seed: names the shared classifiers' random streams.
        rich: settings of the rich classifier.
    """

    def __init__(self, knowledge: MembershipKnowledge, seed: int, rich: Boosting | None = None) -> None:
        self.knowledge, self.seed = knowledge, seed
        self.rich = Boosting() if rich is None else rich

    @cached_property
    def auditor(self) -> AuditorTable:
        """The table of ``knowledge.auditor``.

        Raises:
            ValueError: where that is not known.
        """
        if self.knowledge.auditor is None:
            raise ValueError("this attack needs shadow models over the candidates (knowledge.auditor)")
        return AuditorTable(
            space=self.knowledge.space,
            listed=self.knowledge.auditor,
            rich=self.rich,
            seed=child_seed(self.seed, "auditor"),
        )

    @cached_property
    def own(self) -> StrangerTable:
        """The table of ``knowledge.own``.

        Raises:
            ValueError: where that is not known.
        """
        known = self.knowledge
        if known.own is None or known.own_lists is None:
            raise ValueError("this attack needs shadow models over the attacker's own users (knowledge.own)")
        return StrangerTable(
            space=known.space,
            listed=known.own,
            histories=known.candidates,
            lists=known.own_lists,
            rich=self.rich,
            seed=child_seed(self.seed, "own"),
        )


def sides(
    values: Shaped[np.ndarray, "J U X"], inside: Bool[np.ndarray, "J U"]
) -> Shaped[np.ndarray, "2 H U X"]:
    """Return what is told of each model and user by side and pair: of models without the user, then with him.

    The n-th model without a user, in the order of the models, is paired with the n-th model with him.

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
    features: Float64[np.ndarray, "2 H U F"],
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
