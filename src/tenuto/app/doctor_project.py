"""What `doctor` finds about this project: its store and disk, its model endpoint, whether the shell completes."""

from __future__ import annotations

import os
import shutil
import ssl
import tempfile
from pathlib import Path

from tenuto.adapters.stores.heads import HeadsNote
from tenuto.adapters.stores.sqlite_reader import Reader
from tenuto.app.build import has_journal, open_store
from tenuto.app.config import OPENAI_BASE_URL, Settings
from tenuto.app.doctor_findings import Finding
from tenuto.app.nouns import counted
from tenuto.errors import TenutoError

__all__ = ["completion", "disk", "model_endpoint", "store"]

ANSWER_S = 3.0
BUSY_MS = 1_000
CHECKED_BYTES_MAX = 256 << 20
"""A larger journal is not read through: `verify` does that, run by run."""
DISK_BYTES_MIN = 64 << 20
DISK_BYTES_LOW = 1 << 30
FILES_MAX = 200_000


async def store(settings: Settings) -> Finding:
    """The store opens, its pages are whole, and it (or the place where it would be made) can be written."""
    path = settings.store
    try:
        opened = open_store(settings, create=True)
        there = has_journal(settings)
        runs = len(await opened.journal.runs()) if there else 0
        await opened.close()
        wrong, checked = _pages(path / "journal.db") if there else ([], "")
    except TenutoError as error:
        where = f"{error.where}: " if error.where else ""
        return Finding(name="store", ok=False, what=f"{where}{error.what}", fix=error.fix)
    if wrong:
        fix = "restore it from a backup; `tenuto verify RUN` says what of a run is whole"
        return Finding(name="store", ok=False, what=f"{path}: {wrong[0]}", fix=fix)
    unwritable = _unwritable(path)
    if unwritable:
        fix = f"chmod -R u+w {path}, or name another place by --store"
        return Finding(name="store", ok=False, what=f"{path}: {unwritable}", fix=fix)
    what = (
        f"{path}: {counted(runs, 'run')}, {_size(path)}, {checked}"
        if there
        else f"{path}: to be made by the first run"
    )
    return Finding(name="store", ok=True, what=what)


def _pages(journal: Path) -> tuple[list[str], str]:
    """What is wrong with the journal's pages, and how that was found out."""
    if journal.stat().st_size > CHECKED_BYTES_MAX:
        return [], "too large for a quick check"
    heads = HeadsNote(journal.with_name(f"{journal.name}.heads"))
    reader = Reader(journal, heads, BUSY_MS)
    try:
        return reader.faults(), "pages whole"
    finally:
        reader.close()
        heads.close()


def _unwritable(path: Path) -> str:
    place = path
    while not os.path.lexists(place) and place != place.parent:
        place = place.parent
    try:
        with tempfile.NamedTemporaryFile(dir=place, prefix=".tenuto-doctor-") as file:
            file.write(b"x")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _size(path: Path) -> str:
    """How much lies in the store, as far as it is counted."""
    size, files = 0, 0
    for directory, _, names in os.walk(path):
        for name in names:
            files += 1
            try:
                size += os.lstat(os.path.join(directory, name)).st_size
            except OSError:
                continue
        if files > FILES_MAX:
            return f"more than {size >> 20:,} MiB"
    return f"{size / (1 << 20):,.1f} MiB"


def disk(settings: Settings) -> Finding:
    """There is room below the store."""
    place = settings.store
    while not place.is_dir() and place != place.parent:
        place = place.parent
    free = shutil.disk_usage(place).free
    what = f"{free / (1 << 30):,.1f} GiB free at {place}"
    fix = "make room, or name another place by --store"
    return Finding(name="disk", ok=free >= DISK_BYTES_LOW, what=what, fix=fix, needed=free < DISK_BYTES_MIN)


async def model_endpoint(settings: Settings) -> Finding:
    """The endpoint of `openai:` models answers, where one is configured."""
    url = settings.openai_base_url.rstrip("/")
    name = "openai models"
    if not settings.openai_api_key and url == OPENAI_BASE_URL:
        fix = "export OPENAI_API_KEY=...   # or OPENAI_BASE_URL=... for a compatible server"
        return Finding(name=name, ok=False, what="no key, no server of your own", fix=fix, needed=False)
    import httpx

    asked = {"Authorization": f"Bearer {settings.openai_api_key}"} if settings.openai_api_key else {}
    try:
        async with httpx.AsyncClient(
            timeout=ANSWER_S, proxy=settings.proxy_for(url), trust_env=False, verify=_trust(settings)
        ) as client:
            answer = await client.get(f"{url}/models", headers=asked)
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
        why = " ".join(str(error).split()) or type(error).__name__
        return Finding(name=name, ok=False, what=f"{_bare(url)} does not answer: {why}", fix=_fix(url), needed=False)
    if answer.status_code in (401, 403):
        fix = "export OPENAI_API_KEY=...   # with a key that it takes"
        what = f"{_bare(url)} refuses the key (status {answer.status_code})"
        return Finding(name=name, ok=False, what=what, fix=fix, needed=False)
    said = "answers" if answer.is_success else f"answers with status {answer.status_code}"
    return Finding(name=name, ok=True, what=f"{_bare(url)} {said}", needed=False)


def _trust(settings: Settings) -> ssl.SSLContext | bool:
    """The certificates that count: those of SSL_CERT_FILE where it is set."""
    return True if settings.certificates is None else ssl.create_default_context(cafile=settings.certificates)


def _fix(url: str) -> str:
    return f"curl -i {_bare(url)}/models   # shows why; OPENAI_BASE_URL names the server"


def _bare(url: str) -> str:
    """A URL without the user and password it may carry."""
    scheme, separator, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{separator}{host.rpartition('@')[2]}{slash}{path}"


def completion(settings: Settings) -> Finding:
    """The shell of this user knows how to complete our commands."""
    from tenuto.app.shells import INSTALL, installed_in

    shell = settings.variables.get("SHELL", "").rpartition("/")[2]
    if shell not in INSTALL:
        what = f"not known for {shell}" if shell else "SHELL is not set"
        return Finding(name="completion", ok=False, what=what, fix="tenuto completion bash|zsh|fish", needed=False)
    place = installed_in(shell, settings.variables)
    if place is None:
        return Finding(
            name="completion", ok=False, what=f"not installed for {shell}", fix=INSTALL[shell], needed=False
        )
    return Finding(name="completion", ok=True, what=f"{shell}, by {place}", needed=False)
