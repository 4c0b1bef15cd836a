"""One thing that `doctor` looked at."""

from __future__ import annotations

import shutil

import msgspec

__all__ = ["Finding", "installing"]

_INSTALLERS = {
    "apt-get": "apt-get install {}",
    "dnf": "dnf install {}",
    "pacman": "pacman -S {}",
    "apk": "apk add {}",
    "brew": "brew install {}",
}


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at. `needed`: nothing works without it; else something named in `fix` does not."""

    name: str
    ok: bool
    what: str
    fix: str = ""
    needed: bool = True


def installing(package: str) -> str:
    """The command that installs a package of the system, by the installer that is here."""
    command = next((command for name, command in _INSTALLERS.items() if shutil.which(name)), "install {}")
    return command.format(package)
