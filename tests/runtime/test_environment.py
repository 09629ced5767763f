"""What the libraries are told before they are imported."""

import os
import subprocess
import sys

import pytest

BAR = "from tqdm.auto import tqdm; list(tqdm(range(3)))"


@pytest.mark.parametrize("verbose", [False, True])
def test_the_libraries_bars_are_shown_to_those_alone_who_ask_for_their_messages(verbose: bool) -> None:
    code = f"from favchat.runtime.environment import quiet_environment; quiet_environment(verbose={verbose}); {BAR}"
    unset = {name: value for name, value in os.environ.items() if name != "TQDM_DISABLE"}
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=unset)
    assert ("3/3" in shown.stderr) is verbose
