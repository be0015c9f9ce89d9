"""Fitted recommenders on disk: weights as safetensors beside a JSON description."""

import errno
import hashlib
import json
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field
from safetensors import SafetensorError
from safetensors.torch import load, save_file

from recaudit import __version__
from recaudit.errors import UsageError
from recaudit.files import whole_file, write_text
from recaudit.models.protocol import Recommender, RecommenderSpec
from recaudit.models.registry import model_spec
from recaudit.validation import validated

__all__ = ["SavedModel", "load_model", "save_model"]

WEIGHTS, DESCRIPTION = "model.safetensors", "model.json"


class SavedModel(BaseModel):
    """What stands beside the weights.

    Args:
        recaudit: the version that wrote it.
        spec: the recommender's hyperparameters.
        n_users: users it knows; a model that reads histories may have been shown none.
        n_items: items in its catalogue.
        fingerprint: of the interactions it was fitted to.
        sha256: of the weights' file; ``None`` where a version before checksums wrote it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    recaudit: str
    spec: dict[str, object]
    n_users: int = Field(ge=0)
    n_items: int = Field(ge=1)
    fingerprint: str
    sha256: str | None = None


def save_model(recommender: Recommender, spec: RecommenderSpec, fingerprint: str, directory: Path) -> None:
    """Write ``model.safetensors`` and ``model.json`` to ``directory``; the description last.

    Raises:
        OSError: where they cannot be written.
    """
    with whole_file(directory / WEIGHTS) as temporary:
        try:
            save_file(recommender.tensors(), temporary)
        except SafetensorError as error:  # a full disk, say, which safetensors tells in its own way
            raise OSError(errno.EIO, str(error), str(directory / WEIGHTS)) from None
        checksum = hashlib.sha256(temporary.read_bytes()).hexdigest()
    saved = SavedModel(
        recaudit=__version__,
        spec=json.loads(spec.model_dump_json()),
        n_users=recommender.n_users,
        n_items=recommender.n_items,
        fingerprint=fingerprint,
        sha256=checksum,
    )
    write_text(directory / DESCRIPTION, saved.model_dump_json(indent=2) + "\n")


def load_model(directory: Path) -> tuple[Recommender, RecommenderSpec, SavedModel]:
    """Return the recommender saved in ``directory``, its spec and its description.

    The loaded model gives lists identical to the bit to those of the saved one, on the CPU.

    Raises:
        UsageError: where a file is missing or damaged.
    """
    description, weights = directory / DESCRIPTION, directory / WEIGHTS
    for path in (description, weights):
        if not path.is_file():
            raise UsageError(
                f"{path}: no such file; a saved model is a folder with {WEIGHTS} and {DESCRIPTION}"
            )
    try:
        described = json.loads(description.read_bytes())
    except ValueError as error:
        raise UsageError(f"{description}: not a saved model's description ({_one_line(error)})") from None
    if not isinstance(described, dict):
        raise UsageError(f"{description}: not a saved model's description (not a JSON object)")
    saved = validated(SavedModel, described, where=f"{description}:")
    spec = model_spec(saved.spec, where=f"{description}: spec")
    content = weights.read_bytes()
    try:
        recommender = spec.restore(load(content), n_users=saved.n_users, n_items=saved.n_items)
    except (SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise UsageError(
            f"{weights}: damaged, or not the weights that {description} describes ({_one_line(error)})"
        ) from None
    if saved.sha256 not in (None, hashlib.sha256(content).hexdigest()):
        raise UsageError(
            f"{weights}: damaged, or not the weights that {description} describes (its SHA-256 is another)"
        )
    return recommender, spec, saved


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
