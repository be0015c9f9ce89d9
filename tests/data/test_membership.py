"""The membership split: laws that hold for any data and shares, and what stays when one share changes."""

import numpy as np
import polars as pl
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import ValidationError

from recaudit.data.interactions import Interactions
from recaudit.data.membership import MembershipSplitSpec, membership_split
from recaudit.errors import UsageError

ARRAYS = (
    "heldout_offsets",
    "heldout_items",
    "candidates",
    "members",
    "shadow_users",
    "shadow_members",
    "others",
)


def interactions(lengths, n_items=40):
    """Histories of the given lengths with random items."""
    random = np.random.default_rng(0)
    return Interactions(
        name="planted",
        offsets=np.cumsum([0, *lengths]).astype(np.int64),
        items=np.concatenate([random.permutation(n_items)[:length] for length in lengths]).astype(np.int32),
        user_ids=pl.Series([f"u{n}" for n in range(len(lengths))]),
        item_ids=pl.Series(range(100, 100 + n_items)),
    )


data_sets = st.lists(st.integers(1, 12), min_size=12, max_size=60).map(interactions)
specs = st.builds(
    MembershipSplitSpec,
    target_share=st.floats(0.2, 0.5),
    shadow_share=st.floats(0.2, 0.5),
    heldout=st.floats(0.1, 0.99),
)


def some_split(data, spec, seed):
    try:
        return membership_split(data, spec, seed)
    except UsageError:
        assume(False)


def labels(users, marks):
    return dict(zip(users.tolist(), marks.tolist(), strict=True))


class TestLaws:
    @given(data_sets, specs, st.integers(0, 5))
    def test_users_are_shared_out_and_half_of_each_side_are_members(self, data, spec, seed):
        parts = some_split(data, spec, seed)
        sides = [parts.candidates, parts.shadow_users, parts.others]
        assert sorted(np.concatenate(sides).tolist()) == list(range(data.n_users))
        assert all((np.diff(side) > 0).all() for side in sides)
        assert len(parts.candidates) == round(spec.target_share * data.n_users)
        # Both shares may round up to more users than there are; the shadow then gets what is left.
        left = data.n_users - len(parts.candidates)
        assert len(parts.shadow_users) == min(round(spec.shadow_share * data.n_users), left)
        assert len(parts.members) == len(parts.candidates)
        assert len(parts.shadow_members) == len(parts.shadow_users)
        assert parts.members.sum() == len(parts.candidates) // 2 > 0
        assert parts.shadow_members.sum() == len(parts.shadow_users) // 2 > 0

    @given(data_sets, specs, st.integers(0, 5))
    def test_histories_and_held_out_items_make_up_the_data(self, data, spec, seed):
        parts = some_split(data, spec, seed)
        assert parts.histories.user_ids.to_list() == data.user_ids.to_list()
        assert parts.histories.item_ids.to_list() == data.item_ids.to_list()
        assert len(parts.heldout_items) == min(
            round(spec.heldout * len(data.items)), len(data.items) - data.n_users
        )
        for user in range(data.n_users):
            kept = parts.histories.history(user).tolist()
            held = parts.heldout_items[parts.heldout_offsets[user] : parts.heldout_offsets[user + 1]].tolist()
            assert kept
            assert not set(kept) & set(held)
            both = data.history(user).tolist()
            assert [item for item in both if item in kept] == kept  # still in their order
            assert sorted(kept + held) == sorted(both)

    @given(data_sets, specs, st.integers(0, 5))
    def test_the_same_seed_gives_the_same_split(self, data, spec, seed):
        first, second = some_split(data, spec, seed), some_split(data, spec, seed)
        for name in ARRAYS:
            np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
            assert not getattr(first, name).flags.writeable
        assert first.histories.fingerprint == second.histories.fingerprint


class TestOneChangeAtATime:
    data = interactions([10] * 200)

    def parts(self, seed=3, **shares):
        return membership_split(self.data, MembershipSplitSpec(**shares), seed)

    @pytest.mark.parametrize("option", ["target_share", "shadow_share"])
    def test_a_greater_share_keeps_its_users_their_labels_and_the_other_side(self, option):
        few, many = (self.parts(**{option: share}) for share in (0.1, 0.4))
        names = [("candidates", "members"), ("shadow_users", "shadow_members")]
        (own, own_marks), (other, other_marks) = names if option == "target_share" else names[::-1]
        small, great = (labels(getattr(p, own), getattr(p, own_marks)) for p in (few, many))
        assert (len(small), len(great)) == (20, 80)
        assert small.items() < great.items()
        np.testing.assert_array_equal(getattr(few, other), getattr(many, other))
        np.testing.assert_array_equal(getattr(few, other_marks), getattr(many, other_marks))
        assert few.histories.fingerprint == many.histories.fingerprint
        np.testing.assert_array_equal(few.heldout_items, many.heldout_items)

    def test_what_is_held_out_changes_nobodys_side(self):
        few, many = self.parts(heldout=0.1), self.parts(heldout=0.3)
        assert (len(few.heldout_items), len(many.heldout_items)) == (200, 600)
        for name in ("candidates", "members", "shadow_users", "shadow_members", "others"):
            np.testing.assert_array_equal(getattr(few, name), getattr(many, name))

    def test_another_seed_draws_other_users_other_members_and_other_items(self):
        first, second = self.parts(seed=0), self.parts(seed=1)
        assert set(first.candidates) != set(second.candidates)
        first_labels, second_labels = (labels(parts.candidates, parts.members) for parts in (first, second))
        common = first_labels.keys() & second_labels.keys()
        assert {user for user in common if first_labels[user] != second_labels[user]}
        assert first.histories.fingerprint != second.histories.fingerprint

    def test_whoever_is_a_member_is_so_by_chance(self):
        # 400 splits: each user is a candidate in a third, a member in 33 of 200 of them, 66 +- 7.4.
        counts = np.zeros((2, self.data.n_users))
        for seed in range(400):
            parts = self.parts(seed=seed)
            counts[0, parts.candidates[parts.members]] += 1
            counts[1, parts.shadow_users[parts.shadow_members]] += 1
        assert counts.mean() == 66  # 33 of the 67 candidates
        assert 30 < counts.min() < counts.max() < 105

    def test_two_halves_of_an_odd_number_leave_the_smaller_to_the_shadow(self):
        parts = membership_split(
            interactions([5] * 15), MembershipSplitSpec(target_share=0.5, shadow_share=0.5), 0
        )
        assert (len(parts.candidates), len(parts.shadow_users), len(parts.others)) == (8, 7, 0)


class TestRefusals:
    @pytest.mark.parametrize(
        ("n_users", "shares", "message"),
        [
            (3, {}, "target_share=0.333333 of 3 users is 1; it takes two, .*: raise target_share"),
            (100, {"shadow_share": 0.01}, "shadow_share=0.01 of 100 users is 1; .*: raise shadow_share"),
            (100, {"target_share": 0.001}, "target_share=0.001 of 100 users is 0"),
        ],
    )
    def test_a_side_with_nobody(self, n_users, shares, message):
        with pytest.raises(UsageError, match=message):
            membership_split(interactions([10] * n_users), MembershipSplitSpec(**shares), 0)

    def test_nothing_to_hold_out(self):
        with pytest.raises(UsageError, match=r"heldout=0\.1 holds out none of the data's 30 interactions"):
            membership_split(interactions([1] * 30), MembershipSplitSpec(), 0)

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ({"target_share": 0}, "target_share\n.*greater than 0"),
            ({"shadow_share": 1}, "shadow_share\n.*less than 1"),
            ({"heldout": float("nan")}, "heldout\n.*finite"),
            (
                {"target_share": 0.7, "shadow_share": 0.4},
                r"target_share \+ shadow_share is 0.7 \+ 0.4; .*most 1",
            ),
            ({"target": 0.1}, "target\n.*not permitted"),
        ],
    )
    def test_shares_out_of_range(self, wrong, message):
        with pytest.raises(ValidationError, match=message):
            MembershipSplitSpec(**wrong)

    def test_the_spec_is_frozen_and_goes_through_json(self):
        spec = MembershipSplitSpec()
        with pytest.raises(ValidationError, match="frozen"):
            spec.heldout = 0.2
        assert MembershipSplitSpec.model_validate_json(spec.model_dump_json()) == spec
