"""Interactions: reading, filtering, splitting and generating them."""
