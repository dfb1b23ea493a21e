from __future__ import annotations

from pathlib import Path

import pytest

from parslflow.errors import UsageError
from parslflow.provenance import settings
from parslflow.provenance.settings import ProvenanceSettings
from parslflow.rundir import RunDir


def test_a_folder_without_an_experiment_has_the_defaults(tmp_path: Path) -> None:
    assert settings.of_run(RunDir(tmp_path)) == ProvenanceSettings()


def test_files_are_found_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    chosen = ProvenanceSettings(postgresql="h:1/d", password_file=Path("secret"))
    assert chosen.password_file == tmp_path / "secret"


def test_a_mistake_in_a_run_directory_is_named(tmp_path: Path) -> None:
    (tmp_path / "experiment.toml").write_text("[provenance]\nremotes = '/x'\n")
    with pytest.raises(UsageError, match=r"experiment.toml: \[provenance\] is wrong: .*remotes"):
        settings.of_run(RunDir(tmp_path))


def test_keys_are_read_from_the_format_of_the_aws_command_line(tmp_path: Path) -> None:
    file = tmp_path / "credentials"
    file.touch(mode=0o600)
    chosen = ProvenanceSettings(remote="s3://b/p", credentials_file=file)
    file.write_text("[default]\naws_access_key_id = a%b\naws_secret_access_key=c/d+e==\n")
    assert chosen.keys == ("a%b", "c/d+e==")
    for text in ("", "no ini", "[default]\naws_access_key_id = a\n"):
        file.write_text(text)
        with pytest.raises(UsageError, match=r"credentials has no keys: it must have a section"):
            _ = chosen.keys
    file.chmod(0o640)
    with pytest.raises(UsageError, match=r"can be read by others: chmod 600"):
        _ = chosen.keys
    file.unlink()
    with pytest.raises(UsageError, match=r"credentials cannot be read"):
        _ = chosen.keys
