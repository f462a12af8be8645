import os

import pytest
import tallies


def test_counts(block):
    assert tallies.count_bits(block) == 1024


@pytest.mark.parametrize("size", [0, 1, 7])
def test_sizes(size):
    assert tallies.count_bits(b"\x03" * size) == 2 * size


def test_environment():
    assert int(os.environ["TALLIES_LIMIT"]) == 64


@pytest.mark.skip(reason="needs another machine")
def test_elsewhere():
    raise AssertionError


@pytest.mark.xfail(reason="known")
def test_known():
    raise AssertionError


def test_type():
    with pytest.raises(TypeError):
        tallies.count_bits(1) if tallies.is_fast() else (_ for _ in 1)
