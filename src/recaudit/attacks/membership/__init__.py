"""Membership inference: was a user in the training data? Told from the lists that the user is served."""
