"""The threat of membership inference: its nodes, its figures, its settings."""
