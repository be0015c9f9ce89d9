"""Steam: Kaggle's 200,000 rows of purchases and hours played."""

from recaudit.data.readers.text import TextFormat

__all__ = ["STEAM", "STEAM_PURCHASES"]

_FIELDS = ("user", "game", "behaviour", "hours", "zero")

STEAM = TextFormat(
    name="steam",
    holds="Kaggle steam-200k.csv, its play rows: user,game,play,hours,0; hours stand as ratings",
    fields=_FIELDS,
    columns={"user": "user", "item": "game", "rating": "hours"},
    ids="exact",
    keep=("behaviour", "play", "purchase"),
    repeats="first",
    sure=5,
)
STEAM_PURCHASES = TextFormat(
    name="steam-purchases",
    holds="Kaggle steam-200k.csv, its purchase rows",
    fields=_FIELDS,
    columns={"user": "user", "item": "game"},
    ids="exact",
    keep=("behaviour", "purchase", "play"),
    repeats="first",
)
