"""MovieLens: ``ratings.dat`` and ``ratings.csv``."""

from recaudit.data.readers.text import TextFormat

__all__ = ["MOVIELENS_CSV", "MOVIELENS_DAT"]

MOVIELENS_DAT = TextFormat(
    name="movielens-dat",
    holds="MovieLens ratings.dat: user::item::rating::time",
    separator="::",
    quoted=False,
    fields=("user", "item", "rating", "time"),
    columns={role: role for role in ("user", "item", "rating", "time")},
    begins=r"[^:,\t]+::[^:,\t]+::",
    sure=20,
)
MOVIELENS_CSV = TextFormat(
    name="movielens-csv",
    holds="MovieLens ratings.csv: userId,movieId,rating,timestamp",
    columns={"user": "userId", "item": "movieId", "rating": "rating", "time": "timestamp"},
    sure=10,
)
