import pytest


@pytest.fixture
def block():
    return bytes(range(256))
