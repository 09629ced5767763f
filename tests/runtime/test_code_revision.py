import subprocess

from favchat.runtime import code_revision
from favchat.runtime.code_revision import git_revision


def test_the_revision_is_the_checkouts_commit(tmp_path, monkeypatch):
    monkeypatch.delenv("FAVCHAT_REVISION", raising=False)
    git = ["git", "-C", str(tmp_path), "-c", "user.name=x", "-c", "user.email=x@example.com"]
    subprocess.run([*git, "init", "-q"], check=True)
    file = tmp_path / "code_revision.py"
    file.write_text("")
    monkeypatch.setattr(code_revision, "__file__", str(file))
    assert git_revision() is None
    subprocess.run([*git, "add", "code_revision.py"], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "first"], check=True)
    commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    assert git_revision() == commit
    file.write_text("changed")
    assert git_revision() == f"{commit}-dirty"
    monkeypatch.setenv("FAVCHAT_REVISION", "shipped")
    assert git_revision() == "shipped"
