"""A template for plug-ins of recaudit."""
