"""Candidate topic words of a file: its own words, weighted by how rare they are among the other files."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping

__all__ = ["split_name", "topic_words", "words_of"]

_PIECE = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_LENGTH_MIN, _LENGTH_MAX = 4, 16
_STOP_WORDS = """
able about above according added after against allow allowed allows along already also always and another any
anything are args argument arguments around attribute attributes available avoid based because become been
before behavior behaviour being below between bool boolean both built bytes call called caller callers calling
calls cannot case cases certain change changed changes check checks class classes code come common copyright
could create created creates current currently custom data default defaults define defined defines deprecated
described description different does doing done during each either else empty ensure equal even every everything
exactly example examples except exist exists expected extra false field fields file files first float following
for four from full function functions generate get gets give given gives goes handle handles hard has have
helper helpers here hold holds how however ignore implementation implements important include included including
init inside instance instead integer internal internally into isinstance item items iterable iterator itself
just keep kept key keyword keywords kind know known kwargs last later least left license licensed like list load
long look lower made main make makes making many may means method methods might mode module more most must name
named names need needed needs never new next none normal not note nothing now number object objects old once one
only optional optionally order original other others otherwise output over overridden override own package param
parameter parameters params part parts pass passed path place possible previous private process properties
property provide provided provides public purpose python raise raised raises rather read really represent
represents require requires reserved return returned returning returns right rights roughly run running runs
same second see self set sets setting several should show shows simple simply since single size some something
source specific specified standard start state step still stop store string strings subclass such support
supported supports sure take taken takes tell test tests text than that the their them then there therefore
these they thing this those three through time true tuple turn turns type types typing under unless until update
upper use used useful user users uses using usually value values variable version versionadded versionchanged
very view want was way well were what when where whether which while whole will with within without work works
would write written yield yields you your
"""
STOP_WORDS = frozenset(_STOP_WORDS.split())


def split_name(name: str) -> list[str]:
    """The words of an identifier or path part, in lower case: `HTTPBasicAuth` -> http, basic, auth."""
    return [piece.lower() for piece in _PIECE.findall(name)]


def words_of(texts: Iterable[str], names: Iterable[str] = ()) -> Counter[str]:
    """In how many of a file's texts each candidate word stands; a name it is part of counts as two."""
    found: Counter[str] = Counter()
    for text in texts:
        found.update(set(split_name(text)))
    for name in names:
        found.update(dict.fromkeys(split_name(name), 2))
    return Counter({word: count for word, count in found.items() if _is_candidate(word)})


def _is_candidate(word: str) -> bool:
    return _LENGTH_MIN <= len(word) <= _LENGTH_MAX and word not in STOP_WORDS


def topic_words(files: Mapping[str, Counter[str]], *, most: int = 8) -> dict[str, tuple[str, ...]]:
    """For each file its `most` best words by tf-idf, best first; equal ones by the alphabet.

    Words of over half of the files tell nothing apart and are left out, where there are files enough to say so.
    """
    total = len(files)
    spread = Counter(word for counts in files.values() for word in counts)
    found: dict[str, tuple[str, ...]] = {}
    for path, counts in files.items():
        scores = {
            word: round(1000 * (1 + math.log(count)) * math.log((1 + total) / spread[word]))
            for word, count in _without_plurals(counts).items()
            if count > 1 and (total < 4 or 2 * spread[word] <= total)
        }
        found[path] = tuple(sorted(scores, key=lambda word: (-scores[word], word))[:most])
    return found


def _without_plurals(counts: Counter[str]) -> Counter[str]:
    merged = Counter(counts)
    for word, count in counts.items():
        if word.endswith("s") and word[:-1] in counts:
            merged[word[:-1]] += count
            del merged[word]
    return merged
