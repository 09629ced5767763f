import os
import subprocess
import sys

import cv2
import pytest

from favchat.runtime import threads
from favchat.video import CenterFaceDetector, IdentityDescriptor, clip, onnx_session, process_clip


@pytest.fixture
def three_threads(monkeypatch):
    for module in (threads, clip, onnx_session):
        monkeypatch.setattr(module, "available_threads", lambda: 3)
    before = cv2.getNumThreads()
    yield
    cv2.setNumThreads(before)


def test_every_pool_has_what_the_process_may_have_and_waits_asleep(three_threads, sample_clips, detector):
    fresh, descriptor = CenterFaceDetector(), IdentityDescriptor()
    process_clip(sample_clips / "franck_0.mp4", fresh, fps=1.0, max_frames=2, descriptor=descriptor)
    assert cv2.getNumThreads() == 3
    options = fresh._session.get_session_options()
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (3, 1)
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"


def test_a_setting_goes_before(three_threads, centerface):
    options = onnx_session.onnx_session(str(centerface), 2).get_session_options()
    assert options.intra_op_num_threads == 2


def test_nothing_is_kept_to_be_reported(centerface, tmp_path):
    code = f"from favchat.video.onnx_session import onnx_session; onnx_session({str(centerface)!r}, 1)"
    telling = {name: value for name, value in os.environ.items() if name not in ("CI", "ORT_DISABLE_TELEMETRY")}
    subprocess.run([sys.executable, "-c", code], check=True, env=telling | {"HOME": str(tmp_path)})
    assert not [path for path in tmp_path.rglob("*") if "onnxruntime" in path.name]


@pytest.mark.parametrize("content", [b"", b"no network"])
def test_a_damaged_network_is_named(tmp_path, content):
    file = tmp_path / "centerface.onnx"
    file.write_bytes(content)
    with pytest.raises(onnx_session.NetworkError, match=r"centerface\.onnx: ONNX Runtime cannot read this network"):
        onnx_session.onnx_session(str(file), 1)
