"""Git repositories as folders: one checkout for each address and commit, kept where the caller says."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from curation.core.errors import DiskError, InputError
from curation.core.records import digest

_ADDRESS: Final = re.compile(r"^(https?|ssh|git|file)://|^[\w.-]+@[\w.-]+:")
_REVISION: Final = re.compile(r"[0-9A-Za-z_][\w./+-]*")
_OPTION: Final = re.compile(r"(\w+://)?([^/@]*@)?-")
"""What git, or ssh for it, could take for an option."""
_CREDENTIALS: Final = re.compile(r"(\w://)[^/\s]+@")
_QUIET: Final = {"GIT_TERMINAL_PROMPT": "0", "GIT_ALLOW_PROTOCOL": "https:http:ssh:git:file", "LC_ALL": "C"}
_MANNERS: Final = ("-c", "core.symlinks=false", "-c", "core.hooksPath=/dev/null", "-c", "advice.detachedHead=false")
"""A link in a repository would be a way out of the checkout: it becomes a small text file."""
_CALLERS: Final = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY")
"""Variables that tie git to the repository from whose hook the run was started."""
TIME_LIMIT: Final = 600.0  # seconds


def is_repository(address: str) -> bool:
    """Whether `address` is git's: a URL, `user@host:path`, or the folder of a repository, bare or with a work tree."""
    folder = Path(address)
    bare = (folder / "HEAD").is_file() and (folder / "objects").is_dir()
    return bool(_ADDRESS.match(address)) or bare or (folder / ".git").exists()


def without_secrets(text: str) -> str:
    """The text without the user names and passwords of its addresses."""
    return _CREDENTIALS.sub(r"\1", text)


def checkout(repo: str, folder: Path, commit: str | None = None, seconds: float = TIME_LIMIT) -> Path:
    """The files of `repo` at `commit`, fetched unless they are in `folder` already.

    Args:
        repo: an address for which `is_repository` holds.
        folder: where checkouts are kept, each in a folder named after its address and commit.
        commit: a hash, a tag or a branch; by default the newest state.
        seconds: after which git is stopped. It never asks for a password.

    Raises:
        InputError: git is missing, the repository can't be reached in time, or it has no such commit.
        DiskError: `folder` can't be written.
    """
    if _OPTION.match(repo):
        raise InputError(f"'{without_secrets(repo)}' is no git address: neither it nor its host may begin with '-'")
    if commit is not None and not _REVISION.fullmatch(commit):
        raise InputError(f"'{commit}' is no commit, tag or branch of {without_secrets(repo)}")
    target = folder / digest(repo, commit or "")
    if target.is_dir():
        return target
    try:
        folder.mkdir(parents=True, exist_ok=True)
        hidden = Path(tempfile.mkdtemp(prefix=".git-", dir=folder))
    except OSError as error:
        raise DiskError(f"the checkout can't be kept in {folder}: {error.strerror or error}") from error
    try:
        _fetch(repo, hidden / "tree", commit, time.monotonic() + seconds)
        _publish(hidden / "tree", target)
    except subprocess.TimeoutExpired as error:
        raise InputError(
            f"{without_secrets(repo)} can't be fetched with git: it took more than {seconds:g} seconds. "
            "Try again later, or pass a local folder"
        ) from error
    finally:
        shutil.rmtree(hidden, ignore_errors=True)
    return target


def head(folder: Path) -> str:
    """The hash of the commit that is checked out in `folder`.

    Raises:
        InputError: git can't tell.
    """
    return _git("-C", str(folder), "rev-parse", "HEAD", about=str(folder)).strip()


def _fetch(repo: str, tree: Path, commit: str | None, until: float) -> None:
    """One commit alone, where the server allows it; else the whole history, which also knows shortened hashes."""
    source = str(Path(repo).absolute()) if Path(repo).exists() else repo
    if commit is None:
        _git(*_MANNERS, "clone", "--quiet", "--depth", "1", "--", _local(source), str(tree), about=repo, until=until)
        return
    _git("init", "--quiet", "--", str(tree), about=repo, until=until)
    inside, wanted = (*_MANNERS, "-C", str(tree)), f"{repo} at {commit}"
    try:
        _git(*inside, "fetch", "--quiet", "--depth", "1", "--", source, commit, about=repo, until=until)
        found = "FETCH_HEAD"
    except InputError:
        everything = ("+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*")
        _git(*inside, "fetch", "--quiet", "--", source, *everything, about=repo, until=until)
        found = _git(*inside, "rev-parse", "--verify", f"{commit}^{{commit}}", about=wanted, until=until).strip()
    _git(*inside, "checkout", "--quiet", "--detach", found, about=wanted, until=until)


def _local(source: str) -> str:
    """Only an address with a scheme is cloned in part."""
    return Path(source).as_uri() if Path(source).is_absolute() else source


def _publish(tree: Path, target: Path) -> None:
    try:
        tree.rename(target)
    except OSError as error:
        if not target.is_dir():  # otherwise another process was first, with the same files
            raise DiskError(f"the checkout can't be kept in {target}: {error.strerror or error}") from error


def _git(*arguments: str, about: str, until: float | None = None) -> str:
    variables = {key: value for key, value in os.environ.items() if key not in _CALLERS}
    seconds = None if until is None else max(0.0, until - time.monotonic())
    try:
        code, output, errors = _run(["git", *arguments], {**variables, **_QUIET}, seconds)
    except FileNotFoundError as error:
        raise InputError(f"{without_secrets(about)} needs git, which is not installed: pass a local folder") from error
    if code:
        reason = (errors.strip().splitlines() or [f"exit code {code}"])[-1]
        raise InputError(f"{without_secrets(about)} can't be fetched with git: {without_secrets(reason)}")
    return output


def _run(command: list[str], variables: dict[str, str], seconds: float | None) -> tuple[int, str, str]:
    """Exit code, output and errors. In a session of its own, so that it ends with all that it started, such as ssh,
    and finds no terminal at which to ask."""
    with subprocess.Popen(  # noqa: S603 - a list, and `--` before what a file names
        command,
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as process:
        try:
            output, errors = process.communicate(timeout=seconds)
        except BaseException:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise
    return process.returncode, output, errors
