"""The media deployment by itself."""

import asyncio

import pytest

from favchat.config import Config
from serve.errors import ApiError
from serve.media import MediaReplica
from tests.serve.conftest import LIMITS, clip_path


@pytest.mark.parametrize("came_here", [True, False])
def test_a_video_is_checked_once_by_the_replica_that_it_came_to(came_here, model_folder, centerface, tmp_path) -> None:
    serve = LIMITS.model_copy(update={"model": str(model_folder), "store": str(tmp_path)})
    media = MediaReplica(Config(serve=serve))
    with clip_path("pexels_0").open("rb") as file:
        incoming = media.store.receive(file)
    if came_here:
        asyncio.run(media.check(incoming.path.name, incoming.key))
    key = media.store.keep(incoming)
    # A second look would refuse it now.
    media.config = media.config.model_copy(update={"serve": serve.model_copy(update={"max_duration": 0.1})})
    if came_here:
        asyncio.run(media.prepare(key))
        assert media.store.derived.clip(key).exists()
    else:
        with pytest.raises(ApiError, match="the limit is 0.1 s"):
            asyncio.run(media.prepare(key))
