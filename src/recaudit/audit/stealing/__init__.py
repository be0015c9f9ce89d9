"""The threat of model stealing: its nodes, its figures, its settings."""
