"""The recommenders that come with recaudit, one file a family."""
