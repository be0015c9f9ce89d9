"""Words that experiments still take from here; they stand in :mod:`recaudit.vocabulary`."""

from recaudit.vocabulary import AUXILIARY, CEILING, CONSTANT, FLOOR, VICTIM, number, printable

__all__ = ["AUXILIARY", "CEILING", "CONSTANT", "FLOOR", "VICTIM", "number", "printable"]
