"""What can be asked for lists: models fitted here, saved models, and what plug-ins bring."""
