import unittest

import tallies


class TalliesTest(unittest.TestCase):
    def test_counts(self):
        assert tallies.count_bits(b"\x00\xff") == 8
