"""Attacks: what a stranger can do with a recommender's lists and what he already knows."""
