"""Attacks: what a stranger can do with a recommender's lists and what they already know."""
