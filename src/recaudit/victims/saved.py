"""A victim on disk: the saved model, and which interactions it was trained on."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from recaudit.data.interactions import Interactions
from recaudit.data.split import SplitSpec
from recaudit.errors import UsageError
from recaudit.files import write_text
from recaudit.models.protocol import Recommender, RecommenderSpec, reading
from recaudit.models.registry import MODELS, model_card, model_spec
from recaudit.models.saving import DESCRIPTION, load_model
from recaudit.pipeline.node import Node
from recaudit.pipeline.run import Run
from recaudit.victims.trained import FittedVictim, TrainedVictim
from recaudit.vocabulary import Card

__all__ = ["SavedSplit", "SavedVictim", "content_hash", "read_split", "saved_model_spec", "write_split"]

SPLIT = "split.json"


class SavedSplit(BaseModel):
    """The split that chose a victim's training data: its settings and its seed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    split: SplitSpec
    seed: int


class SavedVictim(BaseModel):
    """A victim that an earlier audit trained and saved.

    Args:
        saved: the folder that it was saved in.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    saved: Path

    @classmethod
    def described(cls, values: Mapping[str, object]) -> "SavedVictim":
        """Return the victim in the folder that ``values`` name.

        Raises:
            UsageError: where they are anything but the name of a folder.
        """
        other = next((key for key in values if key != "saved"), None)
        if other is not None:
            raise UsageError(f"victim.{other}: a saved victim keeps its hyperparameters; leave it out")
        folder = values["saved"]
        if not isinstance(folder, str | Path):
            raise UsageError(f"victim: saved: expected the name of a folder, found {folder!r}")
        return cls(saved=Path(folder))

    @property
    def model_spec(self) -> RecommenderSpec:
        """The hyperparameters of the saved model."""
        return saved_model_spec(self.saved)

    @property
    def card(self) -> Card:
        """The model's card."""
        return model_card(self.model_spec)

    def fitted(self, data: Interactions, run: Run) -> Node[Recommender]:
        """Return the node of the model that is asked.

        Its key holds the content of the files and the seed, as a defence of the victim draws by the seed.
        """
        return Node(
            kind="saved",
            inputs={"content": content_hash(self.saved), "seed": run.seed},
            compute=lambda: self._loaded(data),
            codec=None,
            label="loading the saved victim",
        )

    def refitted(self, data: Interactions, run: Run) -> Node[Recommender]:
        """Return the node of the same model, trained with another seed."""
        return TrainedVictim(model=self.model_spec).refitted(data, run)

    def open(self, data: Interactions, run: Run) -> FittedVictim:
        """Return the saved model as it serves the users of ``data``.

        Raises:
            UsageError: where the saved victim is damaged or was trained on other interactions.
        """
        return FittedVictim(recommender=run.cache.get(self.fitted(data, run)), seen=data)

    def retrained(self, data: Interactions, run: Run) -> FittedVictim:
        """Return the same model fitted to ``data`` with another seed."""
        return TrainedVictim(model=self.model_spec).retrained(data, run)

    def _loaded(self, data: Interactions) -> Recommender:
        recommender, _, description = load_model(self.saved)
        if data.fingerprint != description.fingerprint:
            raise UsageError(
                f"victim: {str(self.saved)!r} was trained on other interactions than {data.name!r} gives; "
                "name the same data with the same options"
            )
        return reading(recommender, data)


def write_split(split: SplitSpec, seed: int, directory: Path) -> None:
    """Write the split beside the saved model in ``directory``."""
    plain = {"split": split.model_dump(mode="json"), "seed": seed}
    write_text(directory / SPLIT, json.dumps(plain, indent=2) + "\n")


def read_split(directory: Path) -> SavedSplit:
    """Return the split that the victim saved in ``directory`` was trained by.

    Raises:
        UsageError: where the file is missing or damaged.
    """
    try:
        return SavedSplit.model_validate_json((directory / SPLIT).read_bytes())
    except (OSError, ValidationError):
        raise UsageError(
            f"{directory / SPLIT}: missing or damaged; it says which interactions the victim was trained on"
        ) from None


def saved_model_spec(directory: Path) -> RecommenderSpec:
    """Return the hyperparameters of the victim saved in ``directory``.

    Raises:
        UsageError: where no model is saved there.
    """
    path = directory / DESCRIPTION
    try:
        values = json.loads(path.read_bytes())["spec"]
    except (OSError, ValueError, TypeError, KeyError):
        raise UsageError(
            f"victim: {str(directory)!r} holds no saved model ({DESCRIPTION}); name a model "
            f"({', '.join(sorted(MODELS))}) or a folder that an audit saved its victim in"
        ) from None
    if not isinstance(values, dict):
        raise UsageError(f"{path}: spec: expected a mapping, found {values!r:.60}")
    return model_spec(values, where=f"{path}: spec")


def content_hash(directory: Path) -> str:
    """Return the SHA-256 over the files of a saved victim, their names included.

    Raises:
        UsageError: where a file cannot be read.
    """
    digest = hashlib.sha256()
    try:
        for path in sorted(path for path in directory.iterdir() if path.suffix in (".json", ".safetensors")):
            content = path.read_bytes()
            digest.update(f"{path.name} {len(content)} ".encode() + content)
    except OSError as error:
        raise UsageError(f"victim: cannot read {directory}: {error.strerror}") from None
    return digest.hexdigest()
