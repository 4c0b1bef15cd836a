"""How shells come to complete our commands, and whether one does."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

__all__ = ["INSTALL", "installed_in"]

INSTALL = {
    "bash": "mkdir -p ~/.local/share/bash-completion/completions && "
    "tenuto completion bash > ~/.local/share/bash-completion/completions/tenuto",
    "zsh": "echo 'eval \"$(tenuto completion zsh)\"' >> ~/.zshrc",
    "fish": "tenuto completion fish > ~/.config/fish/completions/tenuto.fish",
}
"""How each shell comes to know it; then a new shell."""
_MARKS = ("_TENUTO_COMPLETE", "tenuto completion")


def installed_in(shell: str, variables: Mapping[str, str]) -> Path | None:
    """The file by which a shell knows our commands; None where it does not."""
    home = Path(variables.get("HOME", "/"))
    data = Path(variables.get("XDG_DATA_HOME") or home / ".local" / "share")
    config = Path(variables.get("XDG_CONFIG_HOME") or home / ".config")
    places = {
        "bash": (
            data / "bash-completion" / "completions" / "tenuto",
            Path("/etc/bash_completion.d/tenuto"),
            Path("/usr/share/bash-completion/completions/tenuto"),
            home / ".bashrc",
            home / ".bash_profile",
        ),
        "zsh": (Path(variables.get("ZDOTDIR") or home) / ".zshrc", home / ".zfunc" / "_tenuto"),
        "fish": (config / "fish" / "completions" / "tenuto.fish", config / "fish" / "config.fish"),
    }
    return next((place for place in places[shell] if _names_us(place)), None)


def _names_us(place: Path) -> bool:
    try:
        text = place.read_text("utf-8", "replace")
    except OSError:
        return False
    return any(mark in text for mark in _MARKS)
