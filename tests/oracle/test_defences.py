"""Popular and random items in lists, noise on scores: cases worked by hand, and laws for any lists."""

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from recaudit.data.interactions import Interactions
from recaudit.models.protocol import TopK
from recaudit.oracle.defences import Defence, MembershipDefence, PopularItems, RandomItems, noisy
from recaudit.testing.alike import same_scores
from recaudit.victims.protocol import Queries


def seen(*histories, n_items):
    return Interactions(
        name="seen",
        offsets=np.cumsum([0, *map(len, histories)]).astype(np.int64),
        items=np.array([item for history in histories for item in history], dtype=np.int32),
        user_ids=pl.Series(range(len(histories))),
        item_ids=pl.Series(range(n_items)),
    )


def users(*numbers):
    return np.array(numbers, dtype=np.int64)


def by_number(*numbers):
    return Queries(users=users(*numbers))


def lists(*rows):
    return TopK(items=np.array(rows, dtype=np.int64))


# Counts of the items 0..7: 1, 3, 1, 2, 2, 0, 1, 0, so by popularity 1, 3, 4, 0, 2, 6, 5, 7.
SEEN = seen([1, 3], [1, 4], [1, 3, 4], [0, 2, 6], n_items=8)


class TestByHand:
    @pytest.mark.parametrize("seed", range(5))
    @pytest.mark.parametrize(
        ("top", "mixed", "user", "before", "new"),
        [
            (1, 1, 3, [5, 6, 7], {1}),
            (2, 2, 3, [5, 6, 7], {1, 3}),
            (3, 3, 3, [5, 6, 7], {1, 3, 4}),
            (4, 4, 2, [5, 6, 7, 2], {0}),  # user 2 has the three most popular; 0 is the first of the equals
            (4, 4, 0, [5, 6, 7, 2], {4, 0}),
            (2, 2, 0, [5, 6, 7], set()),  # user 0 has both: nothing can be mixed in
            (2, 2, 3, [3, 6, 7], {1}),  # 3 stands in the list already
            (2, 2, 3, [3, 1, 7], set()),
            (4, 2, 2, [5, -1, -1], {0}),
            (3, 2, 3, [5, -1, -1], "one"),  # a list of one has one place, whatever could be mixed in
            (3, 3, 3, [-1, -1, -1], set()),
            (100, 2, 2, [5, 6, 7], {0, 2}),  # a catalogue smaller than ``top``
        ],
    )
    def test_what_is_new_in_a_list(self, top, mixed, user, before, new, seed):
        served = PopularItems(mixed=mixed, top=top).protect(SEEN, seed).apply(by_number(user), lists(before))
        after = served.items[0].tolist()
        arrived = set(after) - set(before)
        assert len(arrived) == 1 if new == "one" else arrived == new
        assert [place for place, item in enumerate(after) if item < 0] == [
            place for place, item in enumerate(before) if item < 0
        ]
        kept = [(old, now) for old, now in zip(before, after, strict=True) if now not in arrived]
        assert all(old == now for old, now in kept)

    def test_nothing_mixed_changes_nothing(self):
        before = TopK(items=np.array([[5, 6, -1]]), scores=np.array([[2, 1, -np.inf]], dtype=np.float32))
        after = PopularItems(mixed=0).protect(SEEN, 0).apply(by_number(3), before)
        np.testing.assert_array_equal(after.items, before.items)
        np.testing.assert_array_equal(after.scores, before.scores)

    def test_no_scores_tell_what_was_mixed_in_and_what_was_given_stays(self):
        items = np.array([[5, 6, 7]])
        before = TopK(items=items, scores=np.array([[3, 2, 1]], dtype=np.float32))
        after = PopularItems(mixed=2).protect(SEEN, 0).apply(by_number(3), before)
        assert after.scores is None
        assert items.tolist() == [[5, 6, 7]] != after.items.tolist()

    def test_more_than_a_list_holds(self):
        defence = PopularItems(mixed=4).protect(SEEN, 0)
        with pytest.raises(ValueError, match="4 popular items cannot be mixed into lists of 3"):
            defence.apply(by_number(3), lists([5, 6, 7]))

    def test_nobody(self):
        nobody = TopK(items=np.empty((0, 3), dtype=np.int64))
        assert PopularItems(mixed=2).protect(SEEN, 0).apply(by_number(), nobody).items.shape == (
            0,
            3,
        )


@st.composite
def worlds(draw):
    """Histories, lists of unseen items (some short) and a defence that fits them."""
    n_items, n_users = draw(st.integers(4, 30)), draw(st.integers(1, 8))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    histories = [random.permutation(n_items)[: random.integers(1, n_items)] for _ in range(n_users)]
    k = draw(st.integers(1, 12))
    items = np.full((n_users, k), -1, dtype=np.int64)
    for row, history in zip(items, histories, strict=True):
        unseen = random.permutation(np.setdiff1d(np.arange(n_items), history))[: random.integers(0, k + 1)]
        row[: len(unseen)] = unseen
    top = draw(st.integers(1, 40))
    spec = PopularItems(mixed=draw(st.integers(0, min(k, top))), top=top)
    return seen(*histories, n_items=n_items), items, spec


class TestLaws:
    @given(worlds(), st.integers(0, 5))
    def test_as_many_items_as_can_be_are_replaced_by_popular_ones(self, world, seed):
        data, before, spec = world
        after = (
            spec.protect(data, seed).apply(Queries(users=np.arange(data.n_users)), TopK(items=before)).items
        )
        by_popularity = sorted(range(data.n_items), key=lambda item: (-data.popularity[item], item))
        for user in range(data.n_users):
            old, new = before[user], after[user]
            listed = set(old[old >= 0].tolist())
            candidates = set(by_popularity[: spec.top]) - set(data.history(user).tolist()) - listed
            changed = old != new
            assert changed.sum() == min(spec.mixed, len(listed), len(candidates))
            assert set(new[changed].tolist()) <= candidates
            assert (old[changed] >= 0).all()
            assert len(set(new[new >= 0].tolist())) == len(listed)

    @given(worlds(), st.integers(0, 5), st.data())
    def test_who_asks_again_gets_the_same_list(self, world, seed, data):
        histories, before, spec = world
        everybody = np.arange(histories.n_users)
        first = spec.protect(histories, seed).apply(Queries(users=everybody), TopK(items=before)).items
        asked = np.array(data.draw(st.lists(st.sampled_from(everybody.tolist()))), dtype=np.int64)
        again = spec.protect(histories, seed).apply(Queries(users=asked), TopK(items=before[asked])).items
        np.testing.assert_array_equal(again, first[asked])


class TestTheDraw:
    """Six thousand users who have seen one of eleven popular items, and lists of eleven unpopular ones.

    There are as many places as popular items: draws of both from the same numbers would show.
    """

    n_users = 6000
    everybody = np.arange(n_users)
    # Items 0 to 10 are everybody's list; 11 to 20 are popular through one last user, and 21 is the history.
    data = seen(*[[21]] * n_users, list(range(11, 21)), n_items=22)
    before = TopK(items=np.tile(np.arange(11), (n_users, 1)))

    def served(self, mixed, seed=0, asked=everybody):
        defence = PopularItems(mixed=mixed, top=11).protect(self.data, seed)
        return defence.apply(Queries(users=asked), TopK(items=self.before.items[asked])).items

    def test_every_item_comes_to_every_place_equally_often(self):
        after = self.served(mixed=3)
        places, items = np.nonzero(after > 10)[1], after[after > 10] - 11
        counts = np.bincount(places * 10 + items, minlength=110)
        # 18,000 replacements over 110 pairs: 164 each, with a standard deviation of 13.
        assert counts.sum() == 3 * self.n_users
        assert 105 < counts.min() <= counts.max() < 225

    def test_lists_do_not_depend_on_who_is_asked_about_with_them(self):
        whole = self.served(mixed=3)
        asked = np.random.default_rng(0).permutation(self.n_users)[:700]
        np.testing.assert_array_equal(self.served(mixed=3, asked=asked), whole[asked])
        for user in (
            0,
            255,
            256,
            5999,
        ):  # both sides of a block's edge, and the last block, which is not full
            np.testing.assert_array_equal(self.served(mixed=3, asked=users(user)), whole[[user]])

    def test_users_and_blocks_of_users_get_draws_of_their_own(self):
        distinct = len(np.unique(self.served(mixed=5), axis=0))
        # 462 sets of places and 30,240 orders of items: some 14 million lists, hardly one of them twice.
        assert distinct > 0.99 * self.n_users

    def test_more_mixed_items_make_the_same_changes_and_others(self):
        few, many = self.served(mixed=2), self.served(mixed=6)
        changed = few > 10
        np.testing.assert_array_equal(many[changed], few[changed])
        assert ((many > 10).sum(axis=1) == 6).all()

    def test_another_seed_mixes_otherwise(self):
        same = (self.served(mixed=5, seed=0) == self.served(mixed=5, seed=1)).all(axis=1)
        assert same.mean() < 0.01


class TestSpec:
    def test_defaults_are_a_defence_of_the_paper(self):
        assert (PopularItems().mixed, PopularItems().top) == (5, 100)
        assert isinstance(PopularItems().protect(SEEN, 0), Defence)

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ({"mixed": -1}, "mixed\n.*greater than or equal to 0"),
            ({"top": 0}, "top\n.*greater than or equal to 1"),
            ({"mixed": 6, "top": 5}, r"mixed is 6, more than the 5 items \(top\) to draw from"),
            ({"mixd": 1}, "mixd\n.*not permitted"),
        ],
    )
    def test_wrong_values(self, wrong, message):
        with pytest.raises(ValidationError, match=message):
            PopularItems(**wrong)

    def test_is_frozen_and_goes_through_json(self):
        spec = PopularItems(mixed=25)
        with pytest.raises(ValidationError, match="frozen"):
            spec.mixed = 5
        assert PopularItems.model_validate_json(spec.model_dump_json()) == spec


class TestRandomItems:
    n_users = 6000
    # Item 0 is the history, 1 to 4 the list, 5 to 24 are left; popularity would prefer 20 to 24.
    data = seen(*[[0]] * n_users, list(range(20, 25)), n_items=25)
    before = np.tile(np.arange(1, 5), (n_users, 1))

    def served(self, changed, seed=0, asked=None):
        asked = np.arange(self.n_users) if asked is None else asked
        return (
            RandomItems(changed=changed)
            .protect(self.data, seed)
            .apply(Queries(users=asked), TopK(items=self.before[asked]))
        )

    def test_every_item_outside_list_and_history_comes_to_every_place_equally_often(self):
        after = self.served(2).items
        rows, places = np.nonzero(after != self.before)
        assert np.bincount(rows).tolist() == [2] * self.n_users
        counts = np.bincount(places * 25 + after[rows, places], minlength=100).reshape(4, 25)
        # 12,000 changes over 80 pairs of place and item: 150 each, with a standard deviation of 12.
        assert counts[:, :5].sum() == 0
        assert 95 < counts[:, 5:].min() <= counts[:, 5:].max() < 205

    def test_who_asks_again_gets_the_same_list_and_another_seed_another(self):
        whole = self.served(3).items
        asked = np.random.default_rng(0).permutation(self.n_users)[:700]
        np.testing.assert_array_equal(self.served(3, asked=asked).items, whole[asked])
        assert (self.served(3, seed=1).items == whole).all(axis=1).mean() < 0.01

    def test_more_changes_keep_the_changes_that_fewer_make(self):
        few, many = self.served(1).items, self.served(3).items
        changed = few != self.before
        np.testing.assert_array_equal(many[changed], few[changed])

    def test_draws_of_its_own_beside_popular_items_from_the_whole_catalogue(self):
        popular = PopularItems(mixed=3, top=25).protect(self.data, 0)
        others = popular.apply(Queries(users=np.arange(self.n_users)), TopK(items=self.before)).items
        assert (self.served(3).items == others).all(axis=1).mean() < 0.01

    def test_as_many_as_can_be_where_few_items_are_left(self):
        data = seen([0, 1, 2, 3, 4], n_items=8)
        after = RandomItems(changed=2).protect(data, 0).apply(by_number(0), lists([5, 6])).items[0].tolist()
        assert 7 in after  # the only item left takes one place
        assert len({5, 6} & set(after)) == 1
        padded = (
            RandomItems(changed=2).protect(data, 0).apply(by_number(0), lists([5, -1, -1])).items[0].tolist()
        )
        assert padded[0] in (6, 7)
        assert padded[1:] == [-1, -1]

    def test_more_than_a_list_holds(self):
        with pytest.raises(ValueError, match="5 random items cannot be mixed into lists of 4"):
            self.served(5)

    def test_no_change_and_wrong_values(self):
        np.testing.assert_array_equal(self.served(0).items, self.before)
        with pytest.raises(ValidationError, match=r"changed\n.*greater than or equal to 0"):
            RandomItems(changed=-1)


class Planted:
    """Scores with a standard deviation of 2 for user 0, of 20 for user 1, and so on."""

    n_users, n_items, log = 300, 400, None

    def score(self, users):
        table = torch.ones(len(users), self.n_items)
        table[:, ::2] = -1
        return 5 + 2 * table * 10 ** torch.from_numpy(users % 4)[:, None].float()

    def tensors(self):
        return {"kept": torch.ones(1)}


class TestNoise:
    def noise(self, asked, scale=0.5, seed=0):
        return (noisy(Planted(), scale, seed).score(asked) - Planted().score(asked)).numpy()

    def test_is_gaussian_with_a_share_of_each_users_own_spread(self):
        asked = np.arange(300)
        units = self.noise(asked) / (0.5 * 2 * 10.0 ** (asked % 4))[:, None]
        # 120,000 draws: the mean is within 0.003, the deviation within 0.002, one standard error each.
        assert abs(units.mean()) < 0.015
        assert abs(units.std() - 1) < 0.01
        assert abs((units**4).mean() - 3) < 0.15
        assert 0.7 < units.std(axis=1).min() < units.std(axis=1).max() < 1.3

    def test_is_fixed_for_each_user_whoever_is_asked_about_with_them(self):
        whole = noisy(Planted(), 0.5, 0).score(np.arange(300))
        asked = np.array([7, 299, 0, 7])
        same_scores(noisy(Planted(), 0.5, 0).score(asked), whole[torch.from_numpy(asked)])

    def test_users_and_seeds_have_their_own_and_a_greater_scale_stretches_it(self):
        first, second = self.noise(users(0, 4))  # of the same spread
        assert abs(np.corrcoef(first, second)[0, 1]) < 0.25
        assert abs(np.corrcoef(first, self.noise(users(0), seed=1)[0])[0, 1]) < 0.25
        np.testing.assert_allclose(self.noise(users(0), scale=2.0)[0], 4 * first, atol=1e-5)

    def test_everything_else_is_the_recommenders_own(self):
        model = Planted()
        assert noisy(model, 0.0, 0) is model
        wrapped = noisy(model, 0.1, 0)
        assert (wrapped.n_users, wrapped.n_items, wrapped.log) == (300, 400, None)
        assert wrapped.tensors().keys() == {"kept"}

    def test_scores_that_are_not_numbers_stay_so(self):
        model = Planted()
        model.score = lambda users: torch.full((len(users), 400), torch.nan)
        assert noisy(model, 0.1, 0).score(users(0)).isnan().all()


def test_a_membership_defence_is_nothing_by_default_frozen_and_goes_through_json():
    spec = MembershipDefence()
    assert (spec.random_items, spec.score_noise) == (0, 0.0)
    with pytest.raises(ValidationError, match="frozen"):
        spec.random_items = 3
    for wrong in ({"random_items": -1}, {"score_noise": -0.1}, {"score_noise": float("inf")}, {"noise": 1}):
        with pytest.raises(ValidationError):
            MembershipDefence(**wrong)
    spec = MembershipDefence(random_items=3, score_noise=0.5)
    assert MembershipDefence.model_validate_json(spec.model_dump_json()) == spec
