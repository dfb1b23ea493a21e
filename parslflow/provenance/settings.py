"""Where a run's provenance is kept: the table ``[provenance]`` of the experiment file."""

from __future__ import annotations

import configparser
import tomllib
from pathlib import Path
from typing import Annotated
from typing import Self

from pydantic import AfterValidator
from pydantic import BaseModel
from pydantic import ConfigDict
from pydantic import Field
from pydantic import ValidationError
from pydantic import model_validator

from parslflow.errors import UsageError
from parslflow.rundir import RunDir

# The run directory keeps the settings, and is read from elsewhere than where the run was started.
_File = Annotated[Path, AfterValidator(Path.absolute)]


class ProvenanceSettings(BaseModel):
    """A database, a place for the versions of all files, and a CMF server."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    postgresql: Annotated[str, Field(pattern=r"^.+:\d+/[^/]+$")] | None = None
    """``HOST:PORT/DATABASE`` of a PostgreSQL server that keeps the metadata in place of a file in
    the run directory; a host that is a path is the folder of the server's socket."""
    user: str | None = None
    """The user of the database; without it that of this process."""
    password_file: _File | None = None
    """A file, readable by its owner alone, with the password of the database."""
    remote: Annotated[str, Field(pattern=r"^(s3://[^/]+(/.*)?|/.*)$")] | None = None
    """``s3://BUCKET`` or ``s3://BUCKET/PATH``, or a folder, where the versions go at the end of the
    run; without it they stay in the run directory."""
    endpoint: Annotated[str, Field(pattern=r"^https?://")] | None = None
    """The address of a service that speaks S3 and is not Amazon's."""
    credentials_file: _File | None = None
    """A file, readable by its owner alone, with the keys to the bucket, as the AWS command line
    writes it."""
    server: Annotated[str, Field(pattern=r"^https?://")] | None = None
    """The CMF server that ``cmf metadata push`` sends the metadata to."""

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        s3 = self.remote is not None and self.remote.startswith("s3://")
        for key, needs, is_there in (
            ("user", "postgresql", self.postgresql is not None),
            ("password_file", "postgresql", self.postgresql is not None),
            ("endpoint", "a remote that begins with s3://", s3),
            ("credentials_file", "a remote that begins with s3://", s3),
        ):
            if getattr(self, key) is not None and not is_there:
                raise ValueError(f"{key} goes with {needs}: add it, or remove {key}")
        return self

    @property
    def password(self) -> str | None:
        """The password of the database.

        Raises:
            UsageError: its file cannot be read, or others can read it too.
        """
        return None if self.password_file is None else _secret(self.password_file).strip()

    @property
    def keys(self) -> tuple[str, str] | None:
        """The name of the key to the bucket, and the key.

        Raises:
            UsageError: their file cannot be read, others can read it too, or it has no keys.
        """
        if self.credentials_file is None:
            return None
        parser = configparser.ConfigParser(interpolation=None)
        try:
            parser.read_string(_secret(self.credentials_file))
            section = parser[parser.sections()[0]]
            return section["aws_access_key_id"], section["aws_secret_access_key"]
        except (configparser.Error, IndexError, KeyError):
            raise UsageError(
                f"{self.credentials_file} has no keys: it must have a section such as [default] "
                "with aws_access_key_id and aws_secret_access_key."
            ) from None


def of_run(run: RunDir) -> ProvenanceSettings:
    """The settings that a run was started with; of a folder without an experiment, the defaults.

    Raises:
        UsageError: they are wrong.
    """
    if not run.experiment.is_file():
        return ProvenanceSettings()
    try:
        document = tomllib.loads(run.experiment.read_text(encoding="utf-8"))
        return ProvenanceSettings.model_validate(document.get("provenance", {}))
    except (tomllib.TOMLDecodeError, ValidationError) as error:
        reason = str(error).replace("\n", " ")
        raise UsageError(f"{run.experiment}: [provenance] is wrong: {reason}.") from None


def _secret(path: Path) -> str:
    try:
        if path.stat().st_mode & 0o077:
            raise UsageError(f"{path} can be read by others: chmod 600 {path}")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error}): give a file with the secret.") from None
