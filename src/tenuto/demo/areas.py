"""Which area a file may belong to, by evidence: its path, what it imports, what it defines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from typing import NamedTuple

from tenuto.demo.words import split_name

__all__ = ["AREAS", "candidate_areas"]


class Evidence(NamedTuple):
    """What speaks for an area: words of paths and names, and modules imported."""

    words: frozenset[str]
    modules: frozenset[str]


def _evidence(words: str, modules: str = "") -> Evidence:
    return Evidence(frozenset(words.split()), frozenset(modules.split()))


AREAS: dict[str, Evidence] = {
    "command line": _evidence(
        "cli command commands option options argument arguments argv completion shell main",
        "argparse optparse getopt click typer docopt fire cmd",
    ),
    "terminal": _evidence(
        "term terminal termui tty ansi color colors prompt progress style console screen tui pager winconsole",
        "curses termios tty rich colorama blessed msvcrt readline prompt_toolkit textual",
    ),
    "network": _evidence(
        "http https url session sessions connection client server adapter adapters cookie cookies proxy auth request "
        "requests response socket hook hooks api web route router certs status",
        "socket ssl http urllib urllib3 requests httpx aiohttp websockets smtplib ftplib grpc flask django fastapi",
    ),
    "storage": _evidence(
        "storage store stores database db sql journal cache file files blob blobs artifact artifacts archive tree "
        "workspace directory migration disk",
        "sqlite3 sqlalchemy psycopg redis pymongo shelve dbm boto3 tempfile shutil zipfile tarfile",
    ),
    "concurrency": _evidence(
        "async await thread threads pool worker workers lock lease scheduler engine queue dispatcher event events "
        "task tasks loop signal",
        "asyncio threading multiprocessing concurrent trio anyio queue signal",
    ),
    "errors": _evidence("error errors exception exceptions warning warnings failure fault"),
    "types": _evidence(
        "types typing protocol protocols model models schema schemas struct structs structures ids interface ports",
        "dataclasses enum abc pydantic attrs attr msgspec",
    ),
    "text": _evidence(
        "text parse parser parsing format formats formatting formatter encode encoding decode json yaml csv token "
        "tokens template templates utf string strings wrap textwrap markdown canonical",
        "string textwrap json csv html xml unicodedata codecs gettext difflib yaml jinja2",
    ),
    "testing": _evidence("testing fixture fixtures mock fake conftest", "pytest unittest hypothesis"),
    "project": _evidence(
        "setup version packages build release noxfile conf docs doc examples benchmarks scripts", "setuptools"
    ),
    "helpers": _evidence(
        "utils util helpers common misc compat internal internals tools globals seeds clock", "platform"
    ),
}
"""The areas of the index, in the order of its sections."""

_STEM, _DIRECTORY, _IMPORT, _NAME = 12, 5, 3, 2


def candidate_areas(
    path: str,
    names: Iterable[str] = (),
    modules: Iterable[str] = (),
    *,
    common: Collection[str] = (),
    most: int = 3,
) -> tuple[str, ...]:
    """The areas with the most evidence, best first, at least one. `common` words are no evidence.

    One alone means that the evidence is one-sided (no other area has half as much): there is nothing to ask.
    """
    *directories, file = path.split("/")
    stem = split_name(file.rsplit(".", 1)[0])
    around = {word for directory in directories for word in split_name(directory)}.difference(common)
    defined = Counter(word for name in names for word in set(split_name(name)).difference(common))
    imported = {module.split(".")[0] for module in modules}
    scores: dict[str, int] = {}
    for area, evidence in AREAS.items():
        score = _STEM * any(word in evidence.words for word in stem)
        score += _DIRECTORY * any(word in evidence.words for word in around)
        score += _IMPORT * min(2, len(imported & evidence.modules))
        score += _NAME * min(4, sum(count for word, count in defined.items() if word in evidence.words))
        if score:
            scores[area] = score
    if not scores:
        return ("helpers",)
    order = {area: number for number, area in enumerate(AREAS)}
    best = sorted(scores, key=lambda area: (-scores[area], order[area]))
    return tuple(area for area in best if 2 * scores[area] >= scores[best[0]])[:most]
