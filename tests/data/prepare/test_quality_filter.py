from dataclasses import fields

import pytest
from omegaconf import OmegaConf

from favchat.config import ConfigError, FilterConfig, validate
from favchat.data.corpus.schema import QUALITY
from favchat.data.prepare.quality_filter import first_violation
from favchat.video import Quality

GOOD = Quality(
    face_share=1.0, score=0.9, face_size=120.0, sharpness=12.3, yaw=-30.0, pitch=5.0, roll=0.0, brightness=110.0
)


def test_a_measure_out_of_bounds_is_named_with_its_bound():
    assert first_violation(GOOD, FilterConfig()) is None
    low = FilterConfig.model_validate({"sharpness": {"min": 20}, "brightness": {"max": 100}})
    assert first_violation(GOOD, low) == "sharpness 12.3 is below data.filters.sharpness.min = 20"
    high = FilterConfig.model_validate({"yaw": {"min": -40, "max": 40}, "brightness": {"max": 100}})
    assert first_violation(GOOD, high) == "brightness 110 is above data.filters.brightness.max = 100"


def test_a_value_on_the_bound_stays():
    assert first_violation(GOOD, FilterConfig.model_validate({"yaw": {"min": -30, "max": -30}})) is None


def test_every_measure_has_its_filter_and_its_column():
    names = tuple(field.name for field in fields(Quality))
    assert names == tuple(FilterConfig.model_fields) == QUALITY


def test_unknown_measures_and_crossed_bounds_are_refused():
    with pytest.raises(
        ConfigError, match="data.filters.sharpnes: no such setting; did you mean data.filters.sharpness"
    ):
        validate(OmegaConf.create({"data": {"filters": {"sharpnes": {"min": 1}}}}), "test")
    with pytest.raises(ConfigError, match="min = 3 is more than max = 2"):
        validate(OmegaConf.create({"data": {"filters": {"yaw": {"min": 3, "max": 2}}}}), "test")
