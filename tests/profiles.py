"""How many examples Hypothesis draws: few in the everyday tests, all in the rest of the gate.

``--hypothesis-profile thorough`` asks for all.
"""

from hypothesis import settings

ALL = 100  # Hypothesis's own default

# How long an example takes is the machine's affair: no test is timed.
settings.register_profile("fast", deadline=None, max_examples=20)
settings.register_profile("thorough", deadline=None, max_examples=ALL)
settings.load_profile("fast")


def examples(number: int) -> int:
    """Return the profile's share of so many examples, for a test that asks for more or fewer than others."""
    return max(min(number, 5), number * settings.default.max_examples // ALL)
