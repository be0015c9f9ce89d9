"""Who is served what: cases worked by hand, a plain loop beside them, and the defences on top."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from recaudit.data.interactions import Interactions
from recaudit.errors import UsageError
from recaudit.oracle.defences import MembershipDefence
from recaudit.oracle.serving import SERVINGS, Service, served


def histories(*rows, n_items):
    return Interactions(
        name="histories",
        offsets=np.cumsum([0, *map(len, rows)]).astype(np.int64),
        items=np.array([item for row in rows for item in row], dtype=np.int32),
        user_ids=pl.Series(range(len(rows))),
        item_ids=pl.Series(range(n_items)),
    )


class Planted:
    """A recommender with these scores."""

    log = None

    def __init__(self, scores):
        self.table = torch.tensor(np.array(scores), dtype=torch.float32)
        self.n_users, self.n_items = self.table.shape

    def score(self, users):
        return self.table[torch.from_numpy(users)].clone()

    def tensors(self):
        return {"scores": self.table}


def rising(n_users, n_items=8):
    return Planted(np.tile(np.arange(n_items), (n_users, 1)))


def falling(n_users, n_items=8):
    return Planted(-np.tile(np.arange(n_items), (n_users, 1)))


# Counts of the items 0..7 trained on: 1, 3, 1, 2, 2, 0, 1, 0; by popularity 1, 3, 4, 0, 2, 6, 5, 7.
TRAINED = histories([1, 3], [1, 4], [1, 3, 4], [0, 2, 6], n_items=8)
# Served: a stranger, the trained users 2 and 0, and another stranger, who has seen popular items.
USERS = histories([5], [1, 3, 4], [1, 3], [0, 1, 2, 7], n_items=8)
SERVICE = Service(
    recommender=rising(4), trained=TRAINED, accounts=np.array([-1, 2, 0, -1]), folded=falling(4)
)
MEMBERS = {1: [7, 6, 5, 2], 2: [7, 6, 5, 4]}
EVERYBODY = (0, 1, 2, 3)


def rows(serving, service=SERVICE, users=USERS, k=4, seed=0, **defence):
    chosen = MembershipDefence(**defence) if defence else None
    return served(serving, service, users, k, seed=seed, defence=chosen)


class TestByHand:
    def test_popular(self):
        assert rows("popular").tolist() == [[1, 3, 4, 0], MEMBERS[1], MEMBERS[2], [3, 4, 6, 5]]

    def test_popular_unmasked(self):
        best = [1, 3, 4, 0]
        assert rows("popular-unmasked").tolist() == [best, MEMBERS[1], MEMBERS[2], best]

    def test_fold_in(self):
        strangers = [0, 1, 2, 3], [3, 4, 5, 6]
        assert rows("fold-in").tolist() == [strangers[0], MEMBERS[1], MEMBERS[2], strangers[1]]

    def test_everyone_folded(self):
        assert rows("everyone-folded").tolist() == [[0, 1, 2, 3], [0, 2, 5, 6], [0, 2, 4, 5], [3, 4, 5, 6]]

    def test_popular_random_draws_all_that_is_unseen_where_no_more_is_left(self):
        lists = rows("popular-random")  # ten times four items are more than the catalogue
        assert lists[[1, 2]].tolist() == [MEMBERS[1], MEMBERS[2]]
        assert len(set(lists[0])) == 4
        assert set(lists[0]) <= set(range(8)) - {5}
        assert set(lists[3]) == {3, 4, 5, 6}

    def test_short_lists_end_in_padding(self):
        assert rows("popular", k=6)[3].tolist() == [3, 4, 6, 5, -1, -1]
        assert rows("popular-unmasked", k=9)[0].tolist() == [1, 3, 4, 0, 2, 6, 5, 7, -1]
        assert rows("fold-in", k=6)[3].tolist() == [3, 4, 5, 6, -1, -1]
        assert rows("popular", k=6)[1].tolist() == [7, 6, 5, 2, 0, -1]
        drawn = rows("popular-random", k=6)[3].tolist()
        assert set(drawn[:4]) == {3, 4, 5, 6}
        assert drawn[4:] == [-1, -1]

    @pytest.mark.parametrize("serving", SERVINGS)
    def test_only_strangers_or_only_members(self, serving):
        nobody = replace(SERVICE, accounts=np.full(4, -1))
        assert rows(serving, nobody)[[0, 3]].tolist() == rows(serving)[[0, 3]].tolist()
        known = replace(SERVICE, accounts=np.arange(4))
        expected = [[7, 6, 5, 4], [7, 6, 5, 3], [7, 6, 5, 2], [7, 5, 4, 3]]
        if serving == "everyone-folded":
            expected = [[0, 2, 4, 5], [0, 2, 3, 5], [0, 2, 5, 6], [1, 3, 4, 5]]
        assert rows(serving, known, users=TRAINED).tolist() == expected


@st.composite
def worlds(draw):
    """A service that knows some of its users, and a length of lists."""
    n_items, n_users = draw(st.integers(3, 30)), draw(st.integers(1, 8))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    known = histories(
        *[random.permutation(n_items)[: random.integers(1, n_items)] for _ in range(12)], n_items=n_items
    )
    accounts = np.where(random.random(n_users) < 0.5, -1, random.permutation(12)[:n_users])
    own = [
        random.permutation(n_items)[: random.integers(1, n_items)] if number < 0 else known.history(number)
        for number in accounts.tolist()
    ]
    service = Service(
        recommender=Planted(random.random((12, n_items))),
        trained=known,
        accounts=accounts,
        folded=Planted(random.random((n_users, n_items))),
    )
    return service, histories(*own, n_items=n_items), draw(st.integers(1, 12))


def plain(serving, service, users, user, k):
    """The items that ``user`` may be served, best first, one user at a time."""
    account = int(service.accounts[user])
    seen = set(users.history(user).tolist())
    if serving == "everyone-folded" or (account < 0 and serving == "fold-in"):
        quality = service.folded.table[user].tolist()
    elif account >= 0:
        quality = service.recommender.table[account].tolist()
    else:
        quality = service.trained.popularity.tolist()
        if serving == "popular-unmasked":
            seen = set()
    order = sorted(range(users.n_items), key=lambda item: (-quality[item], item))
    return [item for item in order if item not in seen]


class TestLaws:
    @given(worlds(), st.sampled_from(SERVINGS), st.integers(0, 3))
    def test_as_a_plain_loop_would(self, world, serving, seed):
        service, users, k = world
        lists = served(serving, service, users, k, seed=seed)
        for user in range(users.n_users):
            expected = plain(serving, service, users, user, k)
            row = lists[user].tolist()
            if serving == "popular-random" and service.accounts[user] < 0:
                pool = expected[: 10 * k]
                found = [item for item in row if item >= 0]
                assert row[len(found) :] == [-1] * (k - len(found))
                assert len(set(found)) == len(found) == min(k, len(pool))
                assert set(found) <= set(pool)
            else:
                assert row == (expected + [-1] * k)[:k]

    @given(worlds(), st.sampled_from(SERVINGS), st.integers(0, 3), st.integers(0, 3))
    def test_random_items_come_only_into_lists_that_a_model_ranked(self, world, serving, seed, changed):
        service, users, k = world
        changed = min(changed, k)
        before = served(serving, service, users, k, seed=seed)
        after = served(serving, service, users, k, seed=seed, defence=MembershipDefence(random_items=changed))
        for user in range(users.n_users):
            old, new = before[user], after[user]
            if service.accounts[user] < 0 and serving.startswith("popular"):
                assert old.tolist() == new.tolist()
                continue
            listed = set(old[old >= 0].tolist())
            free = set(range(users.n_items)) - set(users.history(user).tolist()) - listed
            assert (old != new).sum() == min(changed, len(listed), len(free))
            assert set(new[old != new].tolist()) <= free


class TestPopularRandom:
    n_users = 2000
    everybody = histories(*[[0]] * n_users, n_items=60)
    # Items 1 to 20 are the twenty most popular unseen ones for lists of two.
    service = Service(
        recommender=rising(1, 60),
        trained=histories([0, *range(1, 21)], n_items=60),
        accounts=np.full(n_users, -1),
    )

    def lists(self, seed=0):
        return served("popular-random", self.service, self.everybody, 2, seed=seed)

    def test_every_popular_item_comes_to_every_place_equally_often(self):
        lists = self.lists()
        counts = np.array([np.bincount(column, minlength=60) for column in lists.T])
        # 2,000 draws over 20 items: 100 each, with a standard deviation of 10.
        assert counts[:, 1:21].sum() == 2 * self.n_users
        assert 55 < counts[:, 1:21].min() <= counts[:, 1:21].max() < 145

    def test_is_fixed_per_user_and_seed(self):
        np.testing.assert_array_equal(self.lists(), self.lists())
        assert (self.lists(0) == self.lists(1)).all(axis=1).mean() < 0.02  # one pair in 380
        # Another user becomes a member: nobody else's list changes.
        accounts = self.service.accounts.copy()
        accounts[7] = 0
        other = served("popular-random", replace(self.service, accounts=accounts), self.everybody, 2, seed=0)
        assert np.flatnonzero((other != self.lists()).any(axis=1)).tolist() == [7]


class TestScoreNoise:
    def test_reaches_members_and_folded_users_and_no_popular_list(self):
        assert rows("popular", score_noise=50.0)[[0, 3]].tolist() == rows("popular")[[0, 3]].tolist()
        plain, shaken = rows("fold-in", k=2), rows("fold-in", k=2, score_noise=50.0)
        changed = [(rows("fold-in", k=2, seed=s, score_noise=50.0) != plain).any(axis=1) for s in range(20)]
        assert np.all(np.any(changed, axis=0))
        np.testing.assert_array_equal(shaken, rows("fold-in", k=2, score_noise=50.0))

    def test_a_little_noise_changes_no_clear_ranking(self):
        np.testing.assert_array_equal(rows("fold-in", score_noise=1e-4), rows("fold-in"))

    def test_account_and_folded_user_of_the_same_number_get_noise_of_their_own(self):
        flat = Planted(np.tile([0.0, 1e-3] * 100, (40, 1)))  # so little apart that the noise decides
        users = histories(*[[0]] * 40, n_items=200)
        both = Service(recommender=flat, trained=users, accounts=np.arange(40), folded=flat)
        own = rows("fold-in", both, users, score_noise=100.0)
        folded = rows("everyone-folded", both, users, score_noise=100.0)
        assert (own != folded).any(axis=1).mean() > 0.9

    def test_seen_items_stay_out(self):
        lists = rows("everyone-folded", k=4, score_noise=100.0, random_items=2)
        for user in EVERYBODY:
            assert not set(lists[user]) & set(USERS.history(user).tolist())


class TestRefusals:
    def test_more_random_items_than_a_list_holds(self):
        with pytest.raises(UsageError, match="random_items=5 of lists of 4 items; lower random_items"):
            rows("popular", random_items=5)

    @pytest.mark.parametrize(
        ("serving", "change", "message"),
        [
            ("popular", {"accounts": np.array([0, -1])}, "2 accounts for 4 users"),
            ("fold-in", {"folded": None}, "'fold-in' serves by the folded users, and the service has none"),
            ("everyone-folded", {"folded": falling(3)}, "3 folded users for 4 users"),
            ("fold-in", {"folded": falling(4, 9)}, "folded has 9 items, the users' catalogue 8"),
            ("popular", {"recommender": falling(4, 7)}, "recommender has 7 items, the users' catalogue 8"),
        ],
    )
    def test_parts_that_do_not_fit(self, serving, change, message):
        with pytest.raises(ValueError, match=message):
            rows(serving, replace(SERVICE, **change))

    def test_folded_users_are_needed_by_no_popular_serving(self):
        without = replace(SERVICE, folded=None)
        for serving in ("popular", "popular-unmasked", "popular-random"):
            np.testing.assert_array_equal(rows(serving, without), rows(serving))
