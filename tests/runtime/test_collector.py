import gc

import pytest

from favchat.runtime.collector import collector_paused


@pytest.fixture
def collector():
    """The collector as it was, and nothing out of its sight, after the test."""
    yield
    gc.unfreeze()
    gc.enable()


def test_it_rests_meanwhile_and_looks_at_what_came_after_alone(collector):
    with collector_paused():
        assert not gc.isenabled()
        stays = [object()]
    assert gc.isenabled()
    assert not any(one is stays for one in gc.get_objects())
    later = [object()]
    assert any(one is later for one in gc.get_objects())


def test_where_it_was_off_it_stays_off(collector):
    gc.disable()
    with collector_paused():
        pass
    assert not gc.isenabled()


def test_an_import_that_fails_leaves_it_on(collector):
    with pytest.raises(ImportError), collector_paused():
        raise ImportError
    assert gc.isenabled()
