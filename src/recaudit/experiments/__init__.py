"""Experiments: grids of audits, and what runs them."""
