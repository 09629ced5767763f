"""What the processes of the application import: torch and transformers take seconds, and two of five need them."""

import subprocess
import sys

LIGHT = {
    "serve.app": "the command that starts it",
    "serve.api": "the HTTP process, which also unpickles what the others send",
    "serve.media": "the process that decodes, and what it sends",
    "serve.encoder_replica": "deployed by the command",
    "serve.engine_replica": "deployed by the command",
    "serve.chat": "what the engine sends",
    "favchat.face_scores.report": "what the encoder sends",
}


def test_all_but_the_encoder_s_and_the_engine_s_process_do_without_torch() -> None:
    code = f"import sys, {', '.join(LIGHT)}; print(sorted({{'torch', 'transformers', 'scipy'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
