"""What every victim must do."""

import numpy as np
import pytest

from recaudit.data.interactions import Interactions
from recaudit.data.synthetic import checkerboard
from recaudit.pipeline.run import Run
from recaudit.victims.protocol import Queries, Victim, VictimSpec

__all__ = ["VictimTests"]


class VictimTests:
    """Subclass it with ``spec``, a victim's spec or a fixture of one. The fixture ``data`` may be overridden."""

    @pytest.fixture
    def data(self) -> Interactions:
        """Return the interactions of the victim's users."""
        return checkerboard(n_users=30, n_items=80, groups=4)

    @pytest.fixture
    def victim_spec(self, request: pytest.FixtureRequest) -> VictimSpec:
        """Return ``spec``, whether it is an attribute or a fixture."""
        own = getattr(type(self), "spec", None)
        found: VictimSpec = own if isinstance(own, VictimSpec) else request.getfixturevalue("spec")
        return found

    @pytest.fixture
    def victim(self, victim_spec: VictimSpec, data: Interactions) -> Victim:
        """Return the opened victim."""
        return victim_spec.open(data, Run(seed=0))

    def test_it_satisfies_the_protocols(self, victim_spec: VictimSpec, victim: Victim) -> None:
        assert isinstance(victim_spec, VictimSpec)
        assert isinstance(victim, Victim)
        assert victim_spec.card.sentence

    def test_a_list_holds_no_item_twice_and_carries_no_score(
        self, victim: Victim, data: Interactions
    ) -> None:
        users = np.array([3, 0, 3, data.n_users - 1])
        asked = (
            Queries(users=users) if victim.abilities.by_user else Queries(histories=data.of_users(users[1:]))
        )
        lists = victim.recommend(asked, 10)
        assert lists.items.shape == (len(asked), 10)
        assert lists.scores is None
        for user, row in zip(users[-len(asked) :].tolist(), lists.items.tolist(), strict=True):
            listed = [item for item in row if item >= 0]
            assert row[: len(listed)] == listed  # padding stands at the end
            assert len(set(listed)) == len(listed)
            assert all(item < data.n_items for item in listed)
            if victim.abilities.leaves_out_seen:
                assert not set(listed) & set(data.history(user).tolist())

    def test_asking_twice_gives_the_same_lists_where_it_says_so(
        self, victim: Victim, data: Interactions
    ) -> None:
        everybody = np.arange(data.n_users)
        asked = Queries(users=everybody) if victim.abilities.by_user else Queries(histories=data)
        one, two = (victim.recommend(asked, 5).items for _ in range(2))
        assert (one == two).all() or not victim.abilities.repeatable

    @pytest.mark.parametrize("asked", [(30,), (-1, 2)])
    def test_users_who_do_not_exist_have_no_list(self, victim: Victim, asked: tuple[int, ...]) -> None:
        if victim.abilities.by_user:
            with pytest.raises(IndexError, match=r"users must lie in 0\.\.29"):
                victim.recommend(Queries(users=np.array(asked)), 5)
        else:
            with pytest.raises(ValueError, match=r"\w"):
                victim.recommend(Queries(users=np.array([0])), 5)

    def test_histories_are_read_where_it_says_so(self, victim: Victim, data: Interactions) -> None:
        shown = Queries(histories=data.of_users(np.arange(3)))
        if not victim.abilities.by_history:
            with pytest.raises(ValueError, match="by number alone"):
                victim.recommend(shown, 5)
        elif victim.abilities.by_user and victim.abilities.repeatable:
            by_number = victim.recommend(Queries(users=np.arange(3)), 5)
            assert (victim.recommend(shown, 5).items == by_number.items).all()
        else:
            assert victim.recommend(shown, 5).items.shape == (3, 5)

    def test_trained_again_it_is_a_victim_or_none(self, victim_spec: VictimSpec, data: Interactions) -> None:
        again = victim_spec.retrained(data, Run(seed=5))
        assert again is None or isinstance(again, Victim)
