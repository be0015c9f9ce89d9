"""The split: planted cases, and laws that hold for any data and shares."""

import numpy as np
import polars as pl
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import ValidationError

from recaudit.data.interactions import Interactions
from recaudit.data.split import SplitSpec, split
from recaudit.errors import UsageError


def interactions(lengths, n_items=40, timed=True, seed=0):
    """Histories of the given lengths with random items; times rise within a user."""
    generator = np.random.default_rng(seed)
    items = [generator.permutation(n_items)[:length] for length in lengths]
    return Interactions(
        name="planted",
        offsets=np.cumsum([0, *lengths]).astype(np.int64),
        items=np.concatenate(items).astype(np.int32),
        user_ids=pl.Series([f"u{n}" for n in range(len(lengths))]),
        item_ids=pl.Series(range(100, 100 + n_items)),
        times=np.concatenate([np.arange(length) for length in lengths]) if timed else None,
    )


def pairs(data):
    """(external user id, item number) of every interaction."""
    return set(zip(data.user_ids.gather(data.users).to_list(), data.items.tolist(), strict=True))


def heldout_pairs(parts):
    users = np.repeat(np.arange(parts.target.n_users), np.diff(parts.heldout_offsets))
    return set(zip(parts.target.user_ids.gather(users).to_list(), parts.heldout_items.tolist(), strict=True))


data_sets = st.lists(st.integers(1, 12), min_size=20, max_size=60).map(interactions)
specs = st.builds(
    SplitSpec,
    target_share=st.floats(0.3, 0.7),
    known=st.floats(0.7, 1.0),
    queried=st.floats(0.2, 0.5),
    validation=st.floats(0.2, 0.4),
    heldout=st.floats(0.1, 0.9),
    heldout_by=st.sampled_from(["random", "time"]),
    auxiliary_share=st.floats(0.3, 1.0),
    common_items=st.floats(0.1, 1.0),
)


def some_split(data, spec, seed):
    try:
        return split(data, spec, seed)
    except UsageError:
        assume(False)


class TestLaws:
    @given(data_sets, specs, st.integers(0, 5))
    def test_sides_are_disjoint_and_cover_the_data(self, data, spec, seed):
        parts = some_split(data, spec, seed)
        target, auxiliary = set(parts.target.user_ids), set(parts.auxiliary.user_ids)
        assert not target & auxiliary
        assert len(target) == round(spec.target_share * data.n_users)
        assert len(auxiliary) == round(spec.auxiliary_share * (data.n_users - len(target)))
        everything = pairs(data.of_users(np.flatnonzero(data.user_ids.is_in(list(target)).to_numpy())))
        assert pairs(parts.target) | heldout_pairs(parts) == everything
        assert pairs(parts.auxiliary) <= pairs(data)
        assert parts.target.n_items == parts.auxiliary.n_items == data.n_items

    @given(data_sets, specs, st.integers(0, 5))
    def test_held_out_interactions_never_stand_in_training(self, data, spec, seed):
        parts = some_split(data, spec, seed)
        assert not pairs(parts.target) & heldout_pairs(parts)
        assert len(parts.heldout_offsets) == parts.target.n_users + 1
        assert parts.target.lengths.min() >= 1

    @given(data_sets, specs, st.integers(0, 5))
    def test_roles_are_disjoint_and_cover_the_known_users(self, data, spec, seed):
        parts = some_split(data, spec, seed)
        roles = [parts.queried, parts.validation, parts.unqueried]
        assert sorted(np.concatenate(roles).tolist()) == list(range(len(parts.known)))
        assert all(len(role) and (np.diff(role) > 0).all() for role in roles)
        assert (np.diff(parts.known) > 0).all()
        assert 0 <= parts.known.min() <= parts.known.max() < parts.target.n_users

    @given(data_sets, specs, st.integers(0, 5))
    def test_common_items_are_their_share_of_the_catalogue(self, data, spec, seed):
        parts = some_split(data, spec, seed)
        assert parts.common.shape == (data.n_items,)
        assert parts.common.sum() == round(spec.common_items * data.n_items)
        assert not parts.common.flags.writeable

    @given(data_sets, specs, st.integers(0, 5))
    def test_the_same_seed_gives_the_same_split(self, data, spec, seed):
        first, second = some_split(data, spec, seed), some_split(data, spec, seed)
        arrays = ("heldout_offsets", "heldout_items", "known", "queried", "validation", "unqueried", "common")
        for name in arrays:
            np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
        assert first.target.fingerprint == second.target.fingerprint
        assert first.auxiliary.fingerprint == second.auxiliary.fingerprint


class TestNamedStreams:
    data = interactions([10] * 200)

    def test_known_changes_neither_the_halves_nor_what_is_held_out(self):
        few, many = (split(self.data, SplitSpec(known=known), 3) for known in (0.1, 0.4))
        assert few.target.fingerprint == many.target.fingerprint
        assert few.auxiliary.fingerprint == many.auxiliary.fingerprint
        np.testing.assert_array_equal(few.heldout_items, many.heldout_items)
        assert (len(few.known), len(many.known)) == (10, 40)
        assert set(few.known) < set(many.known)

    def test_heldout_changes_neither_users_nor_roles(self):
        few, many = (split(self.data, SplitSpec(heldout=heldout, known=0.5), 3) for heldout in (0.1, 0.4))
        assert few.target.user_ids.equals(many.target.user_ids)
        for name in ("known", "queried", "validation", "unqueried"):
            np.testing.assert_array_equal(getattr(few, name), getattr(many, name))
        assert heldout_pairs(few) < heldout_pairs(many)

    def test_more_queries_are_taken_from_the_unqueried_alone(self):
        few, many = (split(self.data, SplitSpec(known=1, queried=queried), 3) for queried in (0.2, 0.6))
        assert set(few.queried) < set(many.queried)
        np.testing.assert_array_equal(few.validation, many.validation)

    def test_less_auxiliary_data_is_a_part_of_more(self):
        few, many = (split(self.data, SplitSpec(auxiliary_share=share), 3) for share in (0.2, 0.6))
        assert (few.auxiliary.n_users, many.auxiliary.n_users) == (20, 60)
        assert pairs(few.auxiliary) < pairs(many.auxiliary)

    def test_common_items_of_a_smaller_share_stay_in_a_greater_one_and_nothing_else_changes(self):
        few, many, every = (split(self.data, SplitSpec(common_items=share), 3) for share in (0.1, 0.5, 1))
        assert [parts.common.sum() for parts in (few, many, every)] == [4, 20, 40]
        assert not (few.common & ~many.common).any()
        assert few.target.fingerprint == every.target.fingerprint
        assert few.auxiliary.fingerprint == every.auxiliary.fingerprint
        for name in ("heldout_items", "known", "queried", "validation", "unqueried"):
            np.testing.assert_array_equal(getattr(few, name), getattr(every, name))

    def test_another_seed_draws_other_users_and_items(self):
        first, second = (split(self.data, SplitSpec(common_items=0.5), seed) for seed in (0, 1))
        assert set(first.target.user_ids) != set(second.target.user_ids)
        assert (first.common != second.common).any()

    def test_all_items_are_common_unless_fewer_are_asked_for(self):
        assert split(self.data, SplitSpec(), 0).common.all()


class TestHeldOut:
    def test_a_tenth_of_all_interactions_whoever_they_are(self):
        parts = split(interactions([20] * 200), SplitSpec(), 0)
        assert len(parts.heldout_items) == 200
        # Drawn from all interactions at once: some users lose more than others.
        assert len(set(np.diff(parts.heldout_offsets))) > 2

    def test_users_with_one_interaction_keep_it(self):
        data = interactions([1] * 60 + [2] * 40)
        parts = split(data, SplitSpec(heldout=0.9, known=0.5), 0)
        assert parts.target.lengths.max() == 1
        assert 0 < len(parts.heldout_items) <= 40

    def test_last_in_time(self):
        data = interactions([10, 4, 20, 26] * 60)
        parts = split(data, SplitSpec(heldout_by="time"), 0)
        for user, identifier in enumerate(parts.target.user_ids):
            history = data.history(int(identifier[1:]))
            held = parts.heldout_items[parts.heldout_offsets[user] : parts.heldout_offsets[user + 1]]
            count = {4: 0, 10: 1, 20: 2, 26: 3}[len(history)]
            assert held.tolist() == history[len(history) - count :].tolist()

    def test_last_in_time_leaves_one_for_training(self):
        parts = split(interactions([1, 2, 3] * 80), SplitSpec(heldout_by="time", heldout=0.99), 0)
        assert set(parts.target.lengths) == {1}

    def test_time_needs_times(self):
        with pytest.raises(UsageError, match="'planted' have no times; use 'random'"):
            split(interactions([10] * 200, timed=False), SplitSpec(heldout_by="time"), 0)

    @pytest.mark.parametrize("by", ["random", "time"])
    def test_nothing_to_hold_out(self, by):
        with pytest.raises(UsageError, match="holds out none of the target's 100 interactions"):
            split(interactions([1] * 200), SplitSpec(heldout_by=by), 0)


class TestTooFewUsers:
    @pytest.mark.parametrize(
        ("n_users", "shares", "message"),
        [
            (1, {}, "of 1 users gives the target 0 .*: raise target_share"),
            (10, {"target_share": 0.99}, "of 10 users gives .* the auxiliary data 0; .*: lower target_share"),
            (20, {"known": 0.04}, r"known=0.04 of 10 target users \(20 in all\) is nobody; raise known"),
            (20, {"auxiliary_share": 0.01}, r"of 10 auxiliary users \(20 in all\) is nobody; raise aux"),
            (40, {}, r"2 known users \(of 40 in all\) are too few .*validation=0.1 \(0\).*: raise known"),
            (120, {}, r"6 known users \(of 120 in all\).* queried=0.8 \(5\).*unqueried \(0\)"),
            (40, {"queried": 0.1}, r"queried=0.1 \(0\)"),
        ],
    )
    def test_says_how_many_there_are_and_what_to_raise(self, n_users, shares, message):
        with pytest.raises(UsageError, match=message):
            split(interactions([10] * n_users), SplitSpec(**shares), 0)


def test_too_small_a_share_of_common_items():
    with pytest.raises(UsageError, match=r"common_items=0.01 of 40 items is none; raise common_items"):
        split(interactions([10] * 200), SplitSpec(common_items=0.01), 0)


class TestSplitSpec:
    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ({"target_share": 1}, "target_share\n.*less than 1"),
            ({"known": 0}, "known\n.*greater than 0"),
            ({"known": 1.5}, "known\n.*less than or equal to 1"),
            ({"auxiliary_share": 0}, "auxiliary_share\n.*greater than 0"),
            ({"common_items": 0}, "common_items\n.*greater than 0"),
            ({"common_items": 1.1}, "common_items\n.*less than or equal to 1"),
            ({"heldout": float("nan")}, "heldout\n.*finite"),
            ({"heldout_by": "user"}, "heldout_by\n.*'random' or 'time'"),
            ({"queried": 0.9}, r"queried \+ validation is 0.9 \+ 0.1; it must be below 1"),
            ({"knwon": 0.1}, "knwon\n.*not permitted"),
        ],
    )
    def test_shares_out_of_range(self, wrong, message):
        with pytest.raises(ValidationError, match=message):
            SplitSpec(**wrong)

    def test_is_frozen(self):
        with pytest.raises(ValidationError, match="frozen"):
            SplitSpec().known = 0.2
