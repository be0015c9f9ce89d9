"""The black box between a victim and those who ask it for lists."""
