"""Where tasks run: here, in processes of this machine, or on a Ray cluster."""
