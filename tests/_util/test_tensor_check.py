"""Differences between what is found and what is needed are named."""

from __future__ import annotations

import pytest

from llama_tutorial._util.tensor_check import check_names, check_shapes, listed


def test_the_same_names_in_any_order_pass():
    check_names(["b", "a"], ["a", "b"], "the file")


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (["a"], "the file; missing: b, c"),
        (["a", "b", "c", "x"], "the file; unexpected: x"),
        (["a", "b", "x"], "the file; missing: c; unexpected: x"),
    ],
)
def test_each_difference_is_named(found, message):
    with pytest.raises(ValueError) as error:  # noqa: PT011
        check_names(found, ["a", "b", "c"], "the file")
    assert str(error.value) == message


def test_a_wrong_shape_is_named_with_both_shapes():
    check_shapes({"a": (2, 3)}, {"a": (2, 3)}, "the file")
    with pytest.raises(
        ValueError, match=r"^the file; wrong shape: a is \(3, 2\), must be \(2, 3\)$"
    ):
        check_shapes({"a": (3, 2), "b": (1,)}, {"a": (2, 3), "b": (1,)}, "the file")


def test_a_long_list_is_cut_and_counted():
    assert listed(["a", "b"]) == "a, b"
    assert listed([str(i) for i in range(300)]) == "0, 1, 2, 3, 4, 5 and 294 more"
