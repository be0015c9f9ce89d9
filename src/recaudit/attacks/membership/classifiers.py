"""Classifiers that tell members from non-members: settings that can be fitted, and log-odds.

All of them are scikit-learn's, which is imported where one is fitted. The same rows, labels and seed give the
same scores.
"""

import warnings
from collections.abc import Callable
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Float64
from pydantic import BaseModel, ConfigDict, Field

from recaudit.rng import child_seed

__all__ = ["Boosting", "Classifier", "LogOdds", "Logistic", "NeuralNetwork", "Together"]

# One row of features a user in, one log-odds a user out: above 0 says member.
LogOdds = Callable[[Float[np.ndarray, "U F"]], Float64[np.ndarray, "U"]]

# The nearest to 0 and 1 that a probability is taken to be: beyond lies what a double cannot tell from them.
NEAREST = 1e-15


@runtime_checkable
class Classifier(Protocol):
    """Settings of a binary classifier."""

    def fit(self, features: Float[np.ndarray, "N F"], labels: Bool[np.ndarray, "N"], seed: int) -> LogOdds:
        """Return what tells the log-odds of being a member, learned on these rows.

        Raises:
            ValueError: where the rows are all members or all non-members.
        """


class NeuralNetwork(BaseModel):
    """Multilayer perceptron on standardised features (Hu 2023: two hidden layers; the rest is unsaid there).

    Args:
        hidden: width of each hidden layer.
        learning_rate: Adam's step (Kingma and Ba 2015).
        epochs: at most so many passes; training ends sooner once the loss has not fallen by 1e-4 for ten.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    classifier: Literal["neural network"] = "neural network"
    hidden: tuple[int, ...] = (32, 8)
    learning_rate: float = Field(default=1e-3, gt=0)
    epochs: int = Field(default=200, ge=1)

    def fit(self, features: Float[np.ndarray, "N F"], labels: Bool[np.ndarray, "N"], seed: int) -> LogOdds:
        """Return the fitted network's log-odds."""
        from sklearn.exceptions import ConvergenceWarning  # noqa: PLC0415
        from sklearn.neural_network import MLPClassifier  # noqa: PLC0415
        from sklearn.pipeline import make_pipeline  # noqa: PLC0415
        from sklearn.preprocessing import StandardScaler  # noqa: PLC0415

        network = MLPClassifier(
            self.hidden,
            learning_rate_init=self.learning_rate,
            max_iter=self.epochs,
            random_state=_state(seed),
        )
        with warnings.catch_warnings():
            # How many epochs to train for is a setting: reaching the last one is no failure.
            warnings.simplefilter("ignore", ConvergenceWarning)
            return _fitted(make_pipeline(StandardScaler(), network), features, labels)


class Boosting(BaseModel):
    """Gradient-boosted trees over binned features (Friedman 2001; scikit-learn's histogram version).

    Args:
        trees: number of trees.
        learning_rate: weight of each tree.
        leaves: the most leaves of a tree.
        leaf_rows: the fewest rows of a leaf.
        reg: L2 regularisation of the leaves.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    classifier: Literal["boosting"] = "boosting"
    trees: int = Field(default=150, ge=1)
    learning_rate: float = Field(default=0.05, gt=0)
    leaves: int = Field(default=8, ge=2)
    leaf_rows: int = Field(default=20, ge=1)
    reg: float = Field(default=1.0, ge=0)

    def fit(self, features: Float[np.ndarray, "N F"], labels: Bool[np.ndarray, "N"], seed: int) -> LogOdds:
        """Return the fitted trees' log-odds."""
        from sklearn.ensemble import HistGradientBoostingClassifier  # noqa: PLC0415

        trees = HistGradientBoostingClassifier(
            max_iter=self.trees,
            learning_rate=self.learning_rate,
            max_leaf_nodes=self.leaves,
            min_samples_leaf=self.leaf_rows,
            l2_regularization=self.reg,
            early_stopping=False,
            random_state=_state(seed),
        )
        return _fitted(trees, features, labels)


class Logistic(BaseModel):
    """Logistic regression on standardised features.

    Args:
        strength: scikit-learn's C, the inverse of the L2 regularisation; the intercept is not regularised.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    classifier: Literal["logistic"] = "logistic"
    strength: float = Field(default=0.01, gt=0)

    def fit(self, features: Float[np.ndarray, "N F"], labels: Bool[np.ndarray, "N"], seed: int) -> LogOdds:
        """Return the fitted regression's log-odds."""
        from sklearn.linear_model import LogisticRegression  # noqa: PLC0415
        from sklearn.pipeline import make_pipeline  # noqa: PLC0415
        from sklearn.preprocessing import StandardScaler  # noqa: PLC0415

        regression = LogisticRegression(C=self.strength, max_iter=5000, random_state=_state(seed))
        return _fitted(make_pipeline(StandardScaler(), regression), features, labels)


class Together(BaseModel):
    """The mean of several classifiers' log-odds.

    Args:
        members: the classifiers, each fitted to the same rows.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    classifier: Literal["together"] = "together"
    members: tuple[Boosting | Logistic | NeuralNetwork, ...] = Field(
        default=(Boosting(trees=200), Logistic()), min_length=1
    )

    def fit(self, features: Float[np.ndarray, "N F"], labels: Bool[np.ndarray, "N"], seed: int) -> LogOdds:
        """Return the mean log-odds of the fitted classifiers."""
        fitted = [
            member.fit(features, labels, child_seed(seed, "member", number))
            for number, member in enumerate(self.members)
        ]
        return lambda rows: np.mean([log_odds(rows) for log_odds in fitted], axis=0)


def _state(seed: int) -> int:
    """Return a seed in the range that scikit-learn takes."""
    return seed % 2**32


def _fitted(model: Any, features: Float[np.ndarray, "N F"], labels: Bool[np.ndarray, "N"]) -> LogOdds:
    """Fit ``model`` and return its log-odds, those of certainty made finite."""
    if labels.all() or not labels.any():
        raise ValueError(f"{labels.sum()} members among {len(labels)} rows: telling them apart needs both")
    from threadpoolctl import ThreadpoolController  # noqa: PLC0415 - scikit-learn needs and brings it

    # Audits run as many processes as there are cores: threads that fight for cores are many times slower.
    # The pools are found once for all predictions: to find them takes as long as a short one.
    pools = ThreadpoolController()
    with pools.limit(limits=1):
        model.fit(features, labels)

    def log_odds(rows: Float[np.ndarray, "U F"]) -> Float64[np.ndarray, "U"]:
        with pools.limit(limits=1):
            if hasattr(model, "decision_function"):
                return np.asarray(model.decision_function(rows), dtype=np.float64)
            outside, inside = np.clip(model.predict_proba(rows).astype(np.float64), NEAREST, 1 - NEAREST).T
        result: np.ndarray = np.log(inside) - np.log(outside)
        return result

    return log_odds
