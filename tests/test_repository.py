"""The layout of the repository itself."""

import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_import_platform_from_the_root_is_the_standard_library():
    code = "import platform, favchat; print(platform.__file__); print(favchat.__file__)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    platform_file, favchat_file = done.stdout.split()
    assert Path(platform_file).parent == Path(sysconfig.get_path("stdlib"))
    assert Path(favchat_file) == ROOT / "platform" / "favchat" / "__init__.py"


def test_platform_folder_is_no_package():
    assert not (ROOT / "platform" / "__init__.py").exists()
