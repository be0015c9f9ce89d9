"""Readers: files of interactions, one module a format, joined by the entry points ``recaudit.readers``."""
