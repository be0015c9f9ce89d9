"""Reading: what a reader took of a file, and what it left out, guessed and merged."""

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict

__all__ = ["Reading"]


class Reading(BaseModel):
    """What was made of a file. It travels with the interactions, and no figure depends on it."""

    # A later version may say more; result.json keeps that.
    model_config = ConfigDict(frozen=True, extra="allow")

    format: str
    """The name of the format."""

    columns: Mapping[str, str] = {}
    """The column that was read for each role."""

    unused: tuple[str, ...] = ()
    """Columns that were not read."""

    guessed: tuple[str, ...] = ()
    """What the file does not say and nobody asked for, a sentence each."""

    merged: tuple[str, ...] = ()
    """What was left out or put together, a sentence each."""

    doubts: tuple[str, ...] = ()
    """What looks wrong, a sentence each."""
