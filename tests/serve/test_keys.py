"""Keys of settings and files, and what is left of a key's requests and tokens."""

import hashlib

import pytest

from favchat.config import ApiKeyConfig, ConfigError, ServeConfig
from jobs.key import run as make_key
from serve import keys
from serve.keys import Allowance, KeyRing, Rates


def known(name: str, key: str, **limits) -> ApiKeyConfig:
    return ApiKeyConfig(name=name, sha256=hashlib.sha256(key.encode()).hexdigest(), **limits)


def test_a_key_is_found_by_its_hash() -> None:
    ring = KeyRing([known("ann", "a"), known("bob", "b")])
    found = [ring.find(key) for key in ("a", "b", "c", "", "\udc80")]
    assert [key and key.name for key in found] == ["ann", "bob", None, None, None]


def test_where_keys_are_off_there_are_none() -> None:
    assert len(KeyRing.of(ServeConfig(keys=[known("ann", "a")]))) == 1
    assert len(KeyRing.of(ServeConfig(keys=[known("ann", "a")], auth="off"))) == 0
    assert ServeConfig.model_validate({"auth": False}).auth == "off"  # what YAML makes of a bare word


def test_keys_come_and_go_with_their_file(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(keys, "LOOK", 0.0)
    file = tmp_path / "keys.yaml"
    first = make_key("ann", file=file, say=lambda _: None)
    ring = KeyRing([], str(file))
    assert ring.find(first).name == "ann"
    second = make_key("bob", file=file, say=lambda _: None)
    assert ring.find(second).name == "bob" and ring.find(first).name == "ann"
    file.write_text("- nonsense")
    assert ring.find(first).name == "ann"  # a broken file takes no keys away
    file.write_text("")
    assert ring.find(first) is None and len(ring) == 0


@pytest.mark.parametrize("text", ["- name: a", "name: a", "- {name: a b, sha256: 00}", ": [", "text"])
def test_a_file_of_something_else_is_refused(tmp_path, text) -> None:
    file = tmp_path / "keys.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match="serve.keys_file"):
        KeyRing([], str(file))
    with pytest.raises(ConfigError, match="cannot be read"):
        KeyRing([], str(tmp_path / "nothing.yaml"))


def test_two_keys_of_one_name_or_hash_are_refused() -> None:
    for pair in ([known("ann", "a"), known("ann", "b")], [known("ann", "a"), known("bob", "a")]):
        with pytest.raises(ConfigError, match="two keys"):
            KeyRing(pair)


def test_a_key_is_said_once_and_its_hash_kept(tmp_path) -> None:
    said: list[str] = []
    file = tmp_path / "keys.yaml"
    key = make_key("ann", file=file, say=said.append)
    assert key in said[0] and len(key) > 40
    text = file.read_text()
    assert key not in text and hashlib.sha256(key.encode()).hexdigest() in text
    with pytest.raises(ConfigError, match="ann"):
        make_key("ann", file=file, say=said.append)
    with pytest.raises(ConfigError, match="a key's name"):
        make_key("a b", say=said.append)
    assert make_key("bob", say=said.append) != key and "name: bob" in said[-1]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_an_allowance_comes_back_with_time() -> None:
    clock = Clock()
    allowance = Allowance(60, clock)
    for _ in range(60):
        assert allowance.wait() == 0
        allowance.take(1)
    assert allowance.wait() == pytest.approx(1)
    clock.now += 0.5
    assert allowance.wait() == pytest.approx(0.5)
    clock.now += 1000
    assert allowance.left() == 60  # no more than a minute's worth is saved up


def test_what_is_known_afterwards_may_be_more_than_is_left() -> None:
    clock = Clock()
    allowance = Allowance(100, clock)
    allowance.take(150)
    assert allowance.left() == -50
    clock.now += 60 * 51 / 100
    assert allowance.wait() == 0


def test_less_than_one_a_minute_lets_one_through() -> None:
    clock = Clock()
    allowance = Allowance(0.5, clock)
    assert allowance.wait() == 0
    allowance.take(1)
    assert allowance.wait() == pytest.approx(120)


def test_the_scarcer_of_requests_and_tokens_counts() -> None:
    rates = Rates.of(known("ann", "a", requests_per_minute=60, tokens_per_minute=600))
    assert rates.wait()[0] == 0
    rates.tokens.take(700)
    seconds, wanting = rates.wait()
    assert wanting == "tokens" and seconds == pytest.approx(10.1, abs=0.1)
    told = rates.headers()
    assert told["x-ratelimit-limit-requests"] == "60" and told["x-ratelimit-remaining-tokens"] == "0"
    assert Rates.of(known("bob", "b")).headers() == {}
