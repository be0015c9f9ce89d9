"""Model stealing: clones trained on known interactions, auxiliary data and the victim's lists."""
