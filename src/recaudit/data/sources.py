"""Sources: the named data sets, where they are found, and one way to load any data at all."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import platformdirs
from pydantic import BaseModel, ConfigDict, Field, field_validator

from recaudit.data.filters import binarise, check_core, k_core
from recaudit.data.interactions import Interactions
from recaudit.data.numbering import Repeats
from recaudit.data.readers.columns import parse_columns
from recaudit.data.readers.registry import read_interactions
from recaudit.errors import UsageError, nearest
from recaudit.validation import LATER

__all__ = [
    "SOURCES",
    "SYNTHETIC",
    "Archive",
    "DataSpec",
    "Published",
    "Source",
    "find_source",
    "load",
    "places",
]

SYNTHETIC = "synthetic"


@dataclass(frozen=True, kw_only=True)
class Archive:
    """A publisher's zip file that anybody may download.

    Args:
        url: where it is.
        sha256: the SHA-256 of the whole zip file, in hexadecimal.
        member: the one file in it that is unpacked.
        largest: the most bytes that the member may have when unpacked.
    """

    url: str
    sha256: str
    member: str
    largest: int


@dataclass(frozen=True, kw_only=True)
class Published:
    """What the model-stealing paper's Table 6 states for a data set.

    Args:
        users: number of users.
        items: number of items.
        interactions: number of interactions.
        sparsity: one minus the density.
    """

    users: int
    items: int
    interactions: int
    sparsity: float


@dataclass(frozen=True, kw_only=True)
class Source:
    """A named data set.

    Args:
        name: its name on the command line and in a spec.
        title: what it is.
        files: the file names it may have in its folder, the preferred one first.
        licence: what its publisher allows.
        citation: what to cite.
        user_core: the fewest interactions of a user by default; 0 keeps all.
        item_core: the fewest interactions of an item by default; 0 keeps all.
        archive: the publisher's file, where anybody may download it.
        instructions: what to do instead, where there is no such file; ``{folder}`` stands for its folder.
        published: the paper's figures, where it has any.
        remarks: what to know when comparing with the publisher's file or the paper.
    """

    name: str
    title: str
    files: tuple[str, ...]
    licence: str
    citation: str
    user_core: int = 0
    item_core: int = 0
    archive: Archive | None = None
    instructions: str = ""
    published: Published | None = None
    remarks: tuple[str, ...] = ()


_GROUPLENS = "research use; no redistribution and no commercial use without permission (GroupLens)"
_HARPER = "Harper and Konstan (2015), The MovieLens Datasets: History and Context, ACM TiiS 5(4)"

# The SHA-256 sums are those that TensorFlow Datasets pins (tensorflow_datasets/url_checksums/movielens.txt).
SOURCES: Mapping[str, Source] = {
    s.name: s
    for s in (
        Source(
            name="ml-latest-small",
            title="MovieLens latest small (September 2018)",
            files=("ratings.csv",),
            licence=_GROUPLENS,
            citation=_HARPER,
            archive=Archive(
                url="https://files.grouplens.org/datasets/movielens/ml-latest-small.zip",
                sha256="696d65a3dfceac7c45750ad32df2c259311949efec81f0f144fdfb91ebc9e436",
                member="ml-latest-small/ratings.csv",
                largest=50_000_000,
            ),
            remarks=("GroupLens replaces this data set from time to time; figures belong to one version.",),
        ),
        Source(
            name="ml-1m",
            title="MovieLens 1M (February 2003)",
            files=("ratings.dat",),
            licence=_GROUPLENS,
            citation=_HARPER,
            archive=Archive(
                url="https://files.grouplens.org/datasets/movielens/ml-1m.zip",
                sha256="a6898adb50b9ca05aa231689da44c217cb524e7ebd39d264c56e2832f2c54e20",
                member="ml-1m/ratings.dat",
                largest=50_000_000,
            ),
            published=Published(users=6040, items=3706, interactions=1_000_209, sparsity=0.9553),
            remarks=(
                "Table 6 gives the unfiltered data, so no core is taken by default.",
                "Some copies lack the times of 2,032 users (0 instead: the file's order counts) "
                "and give 601 ratings, mostly of films with few raters, as 3; the pairs are complete.",
            ),
        ),
        Source(
            name="ml-1m-timed",
            title="the 4,008 users of MovieLens 1M whose times are known in a copy that lacks the others'",
            files=("ratings.dat",),
            licence=_GROUPLENS,
            citation=_HARPER,
            instructions="GroupLens does not publish this subset, which stands in for ml-1m where the times "
            "of 2,032 users are not at hand. The file that GroupLens publishes has all times: run recaudit "
            "data fetch ml-1m and use ml-1m; a copy of the subset belongs at {folder}/ratings.dat",
            remarks=("A subset: compare it with nothing that was measured on the whole of ml-1m.",),
        ),
        Source(
            name="ta-feng",
            title="Ta-Feng grocery baskets, November 2000 to February 2001",
            files=("ta_feng_all_months_merged.csv", "baskets.csv"),
            licence="see the data set's page on Kaggle",
            citation="Hsu, Chung and Huang (2004), Mining Skewed and Sparse Transaction Data for "
            "Personalized Shopping Recommendation, Machine Learning 57",
            user_core=5,
            item_core=5,
            instructions="Kaggle asks for a login: download chiranjivdas09/ta-feng-grocery-dataset from "
            "https://www.kaggle.com/datasets/chiranjivdas09/ta-feng-grocery-dataset, unpack it and put "
            "ta_feng_all_months_merged.csv into {folder}",
            published=Published(users=19_451, items=10_480, interactions=630_767, sparsity=0.9969),
            remarks=(
                "A pair that is bought again counts once, at its first basket.",
                "baskets.csv is a reduced copy: customers with three or more baskets, products bought three "
                "times or more, the order of baskets instead of dates.",
            ),
        ),
        Source(
            name="steam",
            title="Steam video games, 200,000 rows",
            files=("steam-200k.csv",),
            licence="see the data set's page on Kaggle",
            citation="Tamber, Steam Video Games, Kaggle (tamber/steam-video-games)",
            user_core=5,
            item_core=5,
            instructions="Kaggle asks for a login: download tamber/steam-video-games from "
            "https://www.kaggle.com/datasets/tamber/steam-video-games, unpack it and put "
            "steam-200k.csv into {folder}",
            published=Published(users=25_387, items=4081, interactions=313_856, sparsity=0.9970),
            remarks=(
                "Only the play rows are read (format steam-purchases reads the others); hours played stand "
                "as ratings; there are no times, and a repeated pair counts once.",
                "Table 6 has 25,387 users, more than the file that the paper cites holds (about 12,400).",
            ),
        ),
    )
}


_KNOWN = (*SOURCES, SYNTHETIC)


_OF_FILES = ("format", "columns", "header", "separator", "encoding", "repeats")


class DataSpec(BaseModel):
    """Which data to load, and how."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str = SYNTHETIC
    """``synthetic``, a name in ``SOURCES``, or the path of a file."""

    format: str | None = None
    """The file's format, where it is not to be guessed."""

    columns: dict[str, str] | None = None
    """The file's columns, by name or by number, such as user=userId,item=movieId,time=timestamp,rating=rating; the
    field's usual names by default."""

    header: bool | None = Field(default=None, json_schema_extra=LATER)
    """Whether the first line of a text names the columns; by default it is looked at."""

    separator: str | None = Field(default=None, json_schema_extra=LATER)
    """What stands between the fields of a text: a character, tab, space or ::; by default it is looked for."""

    encoding: str | None = Field(default=None, json_schema_extra=LATER)
    """The encoding of a text, such as latin-1 or utf-16; UTF-8 by default."""

    repeats: Repeats | None = None
    """What a repeated pair of user and item means: error, first, last, sum (of the ratings) or count (as rating); by
    default an error, and first for Ta-Feng and Steam."""

    user_core: int | None = None
    """The fewest interactions of a user, 0 for off; ``None`` takes the source's (0 for a path)."""

    item_core: int | None = None
    """The fewest interactions of an item, 0 for off; ``None`` takes the source's (0 for a path)."""

    iterative: bool = False
    """Whether the core is repeated until nothing changes."""

    minimum_rating: float | None = None
    """Keep only interactions rated so or higher; ``None`` keeps all."""

    seed: int = 0
    """The seed of the ``synthetic`` data."""

    @field_validator("source")
    @classmethod
    def _source_as_text(cls, source: str) -> str:
        r"""Write bytes of a file's name that are not UTF-8 as ``\xe9``, so that every text can hold the name."""
        return os.fsencode(source).decode(errors="backslashreplace")

    @field_validator("columns", mode="before")
    @classmethod
    def _columns_from_text(cls, columns: object) -> object:
        if isinstance(columns, Mapping):  # YAML reads the number of a column as a number
            return {role: str(column) if type(column) is int else column for role, column in columns.items()}
        return parse_columns(columns) if isinstance(columns, str) else columns


def places(source: Source) -> list[Path]:
    """Return the folders to look for a source in: below ``RECAUDIT_DATA``, then in the user's cache."""
    cache = platformdirs.user_cache_path("recaudit") / source.name
    root = os.environ.get("RECAUDIT_DATA")
    return [Path(root).expanduser() / source.name, cache] if root else [cache]


def find_source(name: str) -> tuple[Source, Path | None]:
    """Return a named source, and its file where there is one.

    Raises:
        UsageError: where there is no source of that name, or ``RECAUDIT_DATA`` names no directory.
    """
    if name not in SOURCES:
        raise UsageError(f"unknown data set {name!r}{nearest(name, _KNOWN)}")
    root = os.environ.get("RECAUDIT_DATA")
    if root and not Path(root).expanduser().is_dir():
        raise UsageError(
            f"RECAUDIT_DATA: {root} is no directory; set it to the folder that holds {name}/, or unset it"
        )
    source = SOURCES[name]
    candidates = (folder / file for folder in places(source) for file in source.files)
    return source, next((path for path in candidates if path.is_file()), None)


def load(spec: DataSpec | str) -> Interactions:
    """Load the data that a spec describes: read, keep the minimum rating, then the core.

    A text stands for the spec with that source and nothing else said.

    Raises:
        UsageError: where the data cannot be found or read, or nothing is left of them.
    """
    if isinstance(spec, str):
        spec = DataSpec(source=spec)
    source = SOURCES.get(spec.source)
    users = (source.user_core if source else 0) if spec.user_core is None else spec.user_core
    items = (source.item_core if source else 0) if spec.item_core is None else spec.item_core
    check_core(user_core=users, item_core=items)
    interactions = _read(spec)
    if spec.minimum_rating is not None:
        interactions = binarise(interactions, spec.minimum_rating)
    return k_core(interactions, users=users, items=items, iterative=spec.iterative)


def _read(spec: DataSpec) -> Interactions:
    if spec.source == SYNTHETIC:
        given = [name for name in _OF_FILES if getattr(spec, name) is not None]
        if given:
            raise UsageError(f"{given[0]}: the synthetic data are read from no file; leave it out")
        # The generator imports torch, which takes a second or more and which reading a file does without.
        from recaudit.data.synthetic import synthetic_interactions  # noqa: PLC0415

        return synthetic_interactions(seed=spec.seed)
    if spec.source in SOURCES:
        _, path = find_source(spec.source)
        if path is None:
            raise _absent(SOURCES[spec.source])
    else:
        path = _path(spec.source)
        if not path.exists() and path.name == spec.source and not path.suffix:
            raise UsageError(
                f"{spec.source!r} is neither a data set nor a file{nearest(spec.source, _KNOWN)}"
            )
    name = spec.source if spec.source in SOURCES else None
    options = {option: getattr(spec, option) for option in _OF_FILES}
    return read_interactions(path, **options, name=name)


def _path(source: str) -> Path:
    r"""Return the path of a file by its name, in which ``\xe9`` may stand for a byte."""
    path = Path(source).expanduser()
    if "\\x" in source and not path.exists():
        raw = re.sub(rb"\\x([0-9a-f]{2})", lambda found: bytes.fromhex(found[1].decode()), os.fsencode(path))
        path = Path(os.fsdecode(raw))
    return path


def _absent(source: Source) -> UsageError:
    looked = " and ".join(str(folder / source.files[0]) for folder in places(source))
    if source.archive:
        say = f"run: recaudit data fetch {source.name}"
    else:
        say = source.instructions.format(folder=places(source)[0])
    return UsageError(f"the data set {source.name} is not here (looked for {looked}); {say}")
