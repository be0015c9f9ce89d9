"""CSV and its kin: any text with a row an interaction, with a header or without one."""

from recaudit.data.readers.text import TextFormat

__all__ = ["CSV"]

CSV = TextFormat(
    name="csv",
    holds="any text with a row an interaction, separated by comma, tab, semicolon, bar or ::",
    separator=None,
    optional=("rating", "time"),
)
