"""What `builders` makes of its two measurements."""

from __future__ import annotations

from wheelworks.cli.builders import told


def test_a_wheel_of_the_set_is_held_against_one_of_theirs() -> None:
    assert told(38, 19.0, "manylinux_2_17_aarch64", 60.0) == (
        "cross: 38 wheels in 19.0 s, 0.50 s a wheel",
        "cibuildwheel: 60.0 s for one wheel, manylinux_2_17_aarch64",
        "120 times as long",
    )
