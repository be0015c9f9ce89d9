"""Recommenders that nothing is trained for: the most popular items, and nearest neighbours among items."""

from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float32, Int64
from pydantic import BaseModel, ConfigDict, Field
from scipy import sparse
from torch import Tensor

from recaudit.data.interactions import Interactions
from recaudit.models.protocol import Recommender, of_type
from recaudit.pipeline.run import Run
from recaudit.vocabulary import Card

__all__ = ["ItemKNN", "ItemKNNRecommender", "Popularity", "PopularityRecommender"]


class PopularityRecommender:
    """Ranks items by how many users interacted with them, the same for everybody."""

    log = None

    def __init__(self, counts: Float32[Tensor, "I"], *, n_users: int) -> None:
        self.counts = counts
        self.n_users = n_users
        self.n_items = len(counts)

    def score(self, users: Int64[np.ndarray, "B"]) -> Float32[Tensor, "B I"]:
        """Return the items' counts, once a user."""
        return self.counts.repeat(len(users), 1)

    def tensors(self) -> dict[str, Tensor]:
        """Return the counts."""
        return {"counts": self.counts}


class Popularity(BaseModel):
    """Most popular items; no hyperparameters."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    card: ClassVar[Card] = Card(
        name="popularity",
        label="Popularity",
        order=10,
        sentence="Ranks items by the number of interactions.",
    )

    model: Literal["popularity"] = "popularity"

    def fit(self, data: Interactions, run: Run) -> PopularityRecommender:
        """Count interactions; nothing in ``run`` changes the result."""
        return PopularityRecommender(
            torch.from_numpy(data.popularity.astype(np.float32)), n_users=data.n_users
        )

    def restore(self, tensors: Mapping[str, Tensor], *, n_users: int, n_items: int) -> PopularityRecommender:
        """Return the recommender with these counts."""
        if len(tensors["counts"]) != n_items:
            raise ValueError(f"{len(tensors['counts'])} counts for {n_items} items")
        return PopularityRecommender(tensors["counts"], n_users=n_users)

    def fold_in(
        self, fitted: Recommender, histories: Interactions, run: Run, *, n_interactions: int
    ) -> PopularityRecommender:
        """Return the same counts for the users of ``histories``."""
        fitted = of_type(PopularityRecommender, fitted)
        return PopularityRecommender(fitted.counts, n_users=histories.n_users)


class ItemKNNRecommender:
    """Scores an item by its similarity to the items of the user's history."""

    log = None

    def __init__(self, similarity: sparse.csr_array, histories: sparse.csr_array) -> None:
        self.similarity = similarity
        self.histories = histories
        self.n_users, self.n_items = histories.shape

    def score(self, users: Int64[np.ndarray, "B"]) -> Float32[Tensor, "B I"]:
        """Return Σ_{i in history} similarity(i, j) for every item j."""
        return torch.from_numpy((self.histories[users] @ self.similarity).toarray().astype(np.float32))

    def tensors(self) -> dict[str, Tensor]:
        """Return similarities and histories as compressed sparse rows, copied."""
        parts = {"similarity": self.similarity, "histories": self.histories}
        return {
            f"{name}.{part}": torch.tensor(getattr(matrix, part))
            for name, matrix in parts.items()
            for part in ("data", "indices", "indptr")
        }


class ItemKNN(BaseModel):
    """Nearest neighbours among items, by shrunk cosine.

    (Sarwar et al. 2001; the shrinkage as in Bell and Koren 2007.)
    similarity(i, j) = |U_i ∩ U_j| / (√|U_i| √|U_j| + shrinkage), of which each item j keeps its
    ``neighbours`` most similar i, ties by item number.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    card: ClassVar[Card] = Card(
        name="item-knn",
        label="ItemKNN",
        order=20,
        sentence="Ranks items by their similarity to the items of the user’s history.",
    )

    model: Literal["item-knn"] = "item-knn"
    neighbours: int = Field(default=100, ge=1)
    shrinkage: float = Field(default=10.0, ge=0)

    def fit(self, data: Interactions, run: Run) -> ItemKNNRecommender:
        """Compute similarities; nothing in ``run`` changes the result."""
        histories = data.matrix()
        by_item = histories.T.tocsr()
        norms = np.sqrt(data.popularity.astype(np.float64))
        columns = []
        step = max(1, (1 << 24) // data.n_items)
        for start in range(0, data.n_items, step):
            common = (by_item[start : start + step] @ histories).toarray().astype(np.float64)
            denominator = norms[start : start + step, None] * norms + self.shrinkage
            similarity = np.divide(common, denominator, out=np.zeros_like(common), where=denominator > 0)
            rows = np.arange(len(similarity))
            similarity[rows, rows + start] = 0.0
            columns.append(self._nearest(similarity))
        return ItemKNNRecommender(sparse.vstack(columns).T.tocsr(), histories)

    def _nearest(self, similarity: np.ndarray) -> sparse.csr_array:
        """Keep each row's largest entries (dense in, sparse out)."""
        n_rows, n_items = similarity.shape
        best = np.argsort(-similarity, axis=1, kind="stable")[:, : self.neighbours]
        values = np.take_along_axis(similarity, best, axis=1)
        rows, places = np.nonzero(values)
        return sparse.csr_array(
            (values[rows, places].astype(np.float32), (rows, best[rows, places])), shape=(n_rows, n_items)
        )

    def restore(self, tensors: Mapping[str, Tensor], *, n_users: int, n_items: int) -> ItemKNNRecommender:
        """Return the recommender with these similarities and histories."""
        shapes = {"similarity": (n_items, n_items), "histories": (n_users, n_items)}
        matrices = [
            sparse.csr_array(
                tuple(tensors[f"{name}.{part}"].numpy() for part in ("data", "indices", "indptr")),
                shape=shape,
            )
            for name, shape in shapes.items()
        ]
        for matrix in matrices:
            matrix.check_format()
        return ItemKNNRecommender(*matrices)

    def fold_in(
        self, fitted: Recommender, histories: Interactions, run: Run, *, n_interactions: int
    ) -> ItemKNNRecommender:
        """Return what scores by ``histories`` and the fitted similarities, as it does for any user."""
        fitted = of_type(ItemKNNRecommender, fitted)
        return ItemKNNRecommender(fitted.similarity, histories.matrix())
