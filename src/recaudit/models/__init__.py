"""Recommenders: how they are specified, trained, asked for lists, saved and loaded."""
