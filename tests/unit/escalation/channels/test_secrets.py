"""Where secrets may be read from, and what is said where they can't be."""

import os

import pytest

from services.escalation.channels.secrets import Secrets
from services.escalation.errors import SecretMissing

NAME = "DESKCLOCK_SECRET_PAGER"
KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def test_a_secret_is_read_from_the_environment_when_it_is_used(monkeypatch):
    """Changed without a restart where the platform can; nothing is kept."""
    secrets = Secrets()
    for value in ("one", " two\n"):
        monkeypatch.setenv(NAME, value)
        assert value.strip() == secrets.read(f"env:{NAME}")


@pytest.mark.parametrize(
    "name", ["PATH", "DESKCLOCK_DATABASE_URL", "DESKCLOCK_ACK_KEY", "AWS_SECRET_ACCESS_KEY", "deskclock_secret_x", "DESKCLOCK_SECRET_", ""]
)  # fmt: skip
def test_no_other_variable_of_the_process_can_be_named(monkeypatch, name):
    """A tenant's roster must not send our own secrets to its own receiver."""
    if name:
        monkeypatch.setenv(name, "planted")
    with pytest.raises(SecretMissing, match="begins with DESKCLOCK_SECRET_") as refused:
        Secrets().read(f"env:{name}")
    assert "planted" not in str(refused.value)


def test_a_secret_may_stand_in_a_file_of_the_folder(tmp_path):
    """By its name or its whole path; several keys on lines of their own while one is rotated; links inside the folder are fine."""
    (tmp_path / "..data").mkdir()
    (tmp_path / "..data" / "pager").write_text(f"{KEY}\n{KEY}\n")
    (tmp_path / "pager").symlink_to("..data/pager")
    secrets = Secrets(str(tmp_path))
    assert 2 == len(secrets.signing_keys("file:pager"))
    assert f"{KEY}\n{KEY}" == secrets.read(f"file:{tmp_path}/pager")


def test_no_file_outside_of_the_folder_is_read(tmp_path):
    """Not by dots, not by a whole path, not by a link that leads out."""
    outside, folder = tmp_path / "outside", tmp_path / "secrets"
    outside.write_text("planted")
    folder.mkdir()
    (folder / "link").symlink_to(outside)
    (tmp_path / "secrets-too").mkdir()
    (tmp_path / "secrets-too" / "x").write_text("planted")
    for name in ("../outside", str(outside), "link", "../secrets-too/x", "x/../../outside", "/etc/passwd"):
        with pytest.raises(SecretMissing, match=r"DESKCLOCK_SECRETS_DIR|can't be read") as refused:
            Secrets(str(folder)).read(f"file:{name}")
        assert "planted" not in str(refused.value)


def test_without_a_folder_no_file_is_read(tmp_path):
    """The way out is said."""
    file = tmp_path / "x"
    file.write_text("planted")
    with pytest.raises(SecretMissing, match="DESKCLOCK_SECRETS_DIR"):
        Secrets().read(f"file:{file}")


def test_what_is_no_small_text_file_is_refused(tmp_path):
    """A folder, a pipe that nobody writes, a large file, bytes that are no text, an empty file."""
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large").write_bytes(b"x" * 20_000)
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    (tmp_path / "empty").write_text("\n")
    for name in ("folder", "pipe", "large", "bytes", "empty", "not there", "nul\0"):
        with pytest.raises(SecretMissing, match=r"can't be read|is empty"):
            Secrets(str(tmp_path)).read(f"file:{name}")


def test_a_secret_in_place_of_a_reference_is_not_repeated():
    """Somebody pasted it into the database by hand."""
    with pytest.raises(SecretMissing, match="not a reference") as refused:
        Secrets().read("xoxb-planted")
    assert "planted" not in str(refused.value)
