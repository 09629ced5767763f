import os
import subprocess
import sys

CODE = """
import os, subprocess, sys
from favchat.runtime.native_stderr import without_lines
with without_lines(b"noise"):
    os.write(2, b"kept 1\\nsome noise\\nkept 2\\n")
    print("from Python, noise too", file=sys.stderr)
    subprocess.run(["sh", "-c", "echo noise of a child >&2; echo child >&2"])
    os.write(2, b"last without an end")
os.write(2, b"\\nnoise afterwards\\n")
"""


def test_lines_of_native_code_are_filtered_and_nothing_else():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, env=os.environ)
    assert done.returncode == 0, done.stderr
    lines = set(done.stderr.splitlines())
    assert lines == {"kept 1", "kept 2", "from Python, noise too", "child", "last without an end", "noise afterwards"}
