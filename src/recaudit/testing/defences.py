"""What every defence must do."""

import numpy as np

from recaudit.data.synthetic import checkerboard
from recaudit.models.protocol import TopK
from recaudit.oracle.defences import Defence, DefenceSpec
from recaudit.victims.protocol import Queries

__all__ = ["DefenceTests"]

DATA = checkerboard(n_users=30, n_items=40, groups=3)
K = 8


class DefenceTests:
    """Subclass it with ``defence``, the settings."""

    defence: DefenceSpec

    def lists(self) -> TopK:
        """Return lists of unseen items of all users; the first one is padded."""
        random, rows = np.random.default_rng(0), np.full((DATA.n_users, K), -1)
        for user in range(DATA.n_users):
            unseen = np.setdiff1d(np.arange(DATA.n_items), DATA.history(user))
            rows[user] = random.permutation(unseen)[:K]
        rows[0, -2:] = -1
        return TopK(items=rows)

    def served(self, *, seed: int = 0) -> TopK:
        """Return what is served instead of the lists."""
        queries = Queries(users=np.arange(DATA.n_users))
        return self.defence.protect(DATA, seed).apply(queries, self.lists())

    def test_it_satisfies_the_protocols(self) -> None:
        assert isinstance(self.defence, DefenceSpec)
        assert isinstance(self.defence.protect(DATA, 0), Defence)
        assert self.defence.card.sentence

    def test_lists_keep_their_shape_and_carry_no_scores(self) -> None:
        served = self.served()
        assert served.items.shape == (DATA.n_users, K)
        assert served.scores is None

    def test_no_item_stands_twice_in_a_list_and_none_was_seen(self) -> None:
        for user, row in enumerate(self.served().items):
            listed = row[row >= 0]
            assert len(np.unique(listed)) == len(listed)
            assert listed.max(initial=0) < DATA.n_items
            assert not np.isin(listed, DATA.history(user)).any()

    def test_padding_stays_at_the_end(self) -> None:
        padded = self.served().items < 0
        assert (np.diff(padded.astype(int), axis=1) >= 0).all()

    def test_asking_again_serves_the_same_lists(self) -> None:
        assert (self.served().items == self.served().items).all()

    def test_asking_alone_serves_the_same_list_as_in_company(self) -> None:
        defence, lists, all_ = self.defence.protect(DATA, 0), self.lists(), self.served().items
        for user in (0, 3, 17):
            alone = defence.apply(Queries(users=np.array([user])), TopK(items=lists.items[[user]]))
            assert (alone.items[0] == all_[user]).all()

    def test_the_lists_that_come_in_stay_as_they_are(self) -> None:
        lists = self.lists()
        before = lists.items.copy()
        self.defence.protect(DATA, 0).apply(Queries(users=np.arange(DATA.n_users)), lists)
        assert (lists.items == before).all()

    def test_shown_histories_are_served(self) -> None:
        shown = Queries(histories=DATA)
        served = self.defence.protect(DATA, 0, by_list=True).apply(shown, self.lists()).items
        assert served.shape == (DATA.n_users, K)
