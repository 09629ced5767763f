import json

import pytest

from favchat.config import Config, ConfigError
from favchat.io.settings_record import changes, check_settings, keep_settings, kept_settings, settings_of

DEFAULTS = settings_of(Config().evaluation, "evaluation.")


def refused(record, now, defaults=DEFAULTS):
    with pytest.raises(ConfigError) as caught:
        check_settings(record, now, defaults, "other ones")
    return str(caught.value).splitlines()


def test_every_changed_setting_is_named_with_both_values(tmp_path):
    record = tmp_path / "new" / "settings.json"
    before = {"seed": 0, "evaluation.hints": None, "evaluation.max_new_tokens": 96}
    check_settings(record, before, DEFAULTS, "other ones")  # nothing is kept yet
    keep_settings(record, before)
    check_settings(record, before, DEFAULTS, "other ones")
    assert refused(record, before | {"seed": 7, "evaluation.hints": True}) == [
        "other ones",
        "  evaluation.hints was None and is True now",
        "  seed was 0 and is 7 now",
    ]


def test_a_setting_that_the_record_does_not_know_had_its_default():
    before, now = {"seed": 0}, {"seed": 0, "evaluation.max_new_tokens": 96}
    assert changes(before, now, DEFAULTS) == []
    now["evaluation.max_new_tokens"] = 20
    assert changes(before, now, DEFAULTS) == ["evaluation.max_new_tokens was 96 and is 20 now"]


def test_what_is_free_in_form_is_compared_as_a_whole():
    config = Config()
    before = settings_of(config.evaluation, "evaluation.")
    config.evaluation.server.parameters = {"max_tokens": 128}
    now = settings_of(config.evaluation, "evaluation.")
    assert changes(before, now, DEFAULTS) == [
        "evaluation.server.parameters was {'max_tokens': 128, 'temperature': 0} and is {'max_tokens': 128} now"
    ]


def test_a_corpus_kept_as_it_was_typed_is_the_same_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    keep_settings(tmp_path / "settings.json", {"data.out": "corpus"})
    check_settings(tmp_path / "settings.json", {"data.out": str(tmp_path / "corpus")}, {}, "other ones")
    assert len(refused(tmp_path / "settings.json", {"data.out": str(tmp_path / "other")}, {})) == 2


def test_a_hash_alone_cannot_be_compared(tmp_path):
    keep_settings(tmp_path / "settings.json", {"key": "0" * 64})
    first, why = refused(tmp_path / "settings.json", {"seed": 0})
    assert first == "other ones" and "an earlier version, which kept a hash alone" in why


@pytest.mark.parametrize("text", ["{", "[1]"])
def test_a_broken_record_is_named(tmp_path, text):
    (tmp_path / "settings.json").write_text(text)
    with pytest.raises(ConfigError, match=r"settings.json: no settings that can be read"):
        kept_settings(tmp_path / "settings.json")


def test_a_record_is_json(tmp_path):
    keep_settings(tmp_path / "settings.json", DEFAULTS)
    assert json.loads((tmp_path / "settings.json").read_text()) == kept_settings(tmp_path / "settings.json") == DEFAULTS
