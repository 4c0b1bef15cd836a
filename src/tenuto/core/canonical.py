"""The one canonical encoding and digest.

Semantics of JCS (RFC 8785): UTF-8, no white space, keys sorted by UTF-16 code units, numbers as ECMAScript
writes them. Stated deviations: integers beyond 2^53-1 keep their digits, up to `DIGITS_MAX` of them; NaN,
infinities, lone surrogates and keys that are no strings are refused (ValueError), never altered.

Two roads, one result: msgspec's encoder where the value has only ASCII keys and no floats, and a plain recursive
writer for everything else. A property test holds the first to the second, and the second to `rfc8785`.
"""

# JSON of any shape is narrowed here by isinstance, which leaves element types unknown to pyright.
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false, reportUnknownMemberType=false
from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

from tenuto.core.ids import Digest

__all__ = ["DEPTH_MAX", "DIGITS_MAX", "EMPTY_DIGEST", "canonical", "clean", "digest", "digest_of", "parse"]

DIGITS_MAX = 1_000
"""Digits of the longest integer that is encoded."""
DEPTH_MAX = 200
"""Nesting of the deepest value that is encoded."""

_BIG = 10**DIGITS_MAX
_fast = msgspec.json.Encoder(order="sorted").encode
_string = msgspec.json.Encoder().encode
_parse = msgspec.json.Decoder().decode


def canonical(value: Any) -> bytes:
    """The canonical bytes of a JSON value (None, bool, int, float, str, list, tuple, dict with str keys).

    Raises ValueError for what has no canonical form, saying what and why.
    """
    try:
        if _is_simple(value, 0):
            return _fast(value)
        parts: list[bytes] = []
        _write(value, parts, 0)
        return b"".join(parts)
    except UnicodeEncodeError as error:
        raise ValueError("a string holds a lone surrogate and has no canonical form") from error


def digest(data: bytes) -> Digest:
    """SHA-256 of bytes, in hexadecimal."""
    return Digest(hashlib.sha256(data).hexdigest())


def digest_of(value: Any) -> Digest:
    """Digest of a value's canonical bytes."""
    return Digest(hashlib.sha256(canonical(value)).hexdigest())


EMPTY_DIGEST = digest(b"")


def parse(data: bytes | str | msgspec.Raw) -> Any:
    """Read JSON. Raises ValueError (a `msgspec.DecodeError` is one) for anything else, too deep nesting included."""
    try:
        return _parse(data)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def clean(value: Any, *, depth: int = 0) -> Any:
    """Bring a value from outside into canonical range: the one treatment at the boundary.

    Lone surrogates become U+FFFD, tuples lists, NaN and infinities None, integers of more than `DIGITS_MAX`
    digits and what is nested deeper than `DEPTH_MAX` are refused (ValueError). Idempotent.
    """
    kind = type(value)
    if kind is str:
        return value if _encodable(value) else value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if value is None or kind is bool:
        return value
    if kind is int:
        _check_digits(value)
        return value
    if kind is float:
        return value if value == value and value not in (float("inf"), float("-inf")) else None
    if depth > DEPTH_MAX:
        raise ValueError(f"a value is nested more than {DEPTH_MAX} deep")
    if isinstance(value, Mapping):
        return {clean(_key(k)): clean(v, depth=depth + 1) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [clean(v, depth=depth + 1) for v in value]
    if isinstance(value, str):
        return clean(str(value))
    raise ValueError(f"a {kind.__name__} is not a JSON value")


def _key(key: object) -> str:
    if not isinstance(key, str):
        raise ValueError(f"the key {key!r} is not a string")
    return key


def _encodable(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_simple(value: Any, depth: int) -> bool:
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return True
    if kind is int:
        return bool(-(2**63) <= value < 2**63)
    if depth > DEPTH_MAX:
        return False
    if kind is dict:
        for key, item in value.items():
            if type(key) is not str or not key.isascii() or not _is_simple(item, depth + 1):
                return False
        return True
    if kind is list or kind is tuple:
        return all(_is_simple(item, depth + 1) for item in value)
    return False


def _write(value: Any, out: list[bytes], depth: int) -> None:
    if depth > DEPTH_MAX:
        raise ValueError(f"a value is nested more than {DEPTH_MAX} deep")
    if value is None or isinstance(value, (bool, str)):
        out.append(_string(value))
    elif isinstance(value, int):
        _check_digits(value)
        out.append(_digits(value))
    elif isinstance(value, float):
        out.append(_number(value).encode())
    elif isinstance(value, Mapping):
        _write_object(value, out, depth)
    elif isinstance(value, (list, tuple)):
        separator = b"["
        for item in value:
            out.append(separator)
            _write(item, out, depth + 1)
            separator = b","
        out.append(b"[]" if separator == b"[" else b"]")
    else:
        raise ValueError(f"a {type(value).__name__} has no canonical form")


def _write_object(value: Mapping[Any, Any], out: list[bytes], depth: int) -> None:
    separator = b"{"
    for key in sorted((_key(k) for k in value), key=lambda k: k.encode("utf-16-be")):
        out.append(separator + _string(key) + b":")
        _write(value[key], out, depth + 1)
        separator = b","
    out.append(b"{}" if separator == b"{" else b"}")


def _check_digits(value: int) -> None:
    if not -_BIG < value < _BIG:
        raise ValueError(f"an integer has more than {DIGITS_MAX} digits")


def _digits(value: int) -> bytes:
    return str(value).encode()


def _number(value: float) -> str:
    """A float as ECMAScript's Number::toString writes it (RFC 8785, 3.2.2.3)."""
    if value != value or value in (float("inf"), float("-inf")):
        raise ValueError("NaN and infinities have no canonical form")
    if value == 0:
        return "0"
    sign = "-" if value < 0 else ""
    mantissa, _, exponent_text = repr(abs(value)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    fraction = "" if fraction == "0" else fraction
    point = len(whole) + int(exponent_text or 0)
    digits = (whole + fraction).lstrip("0")
    point -= len(whole + fraction) - len(digits)
    digits = digits.rstrip("0")
    count = len(digits)
    if count <= point <= 21:
        return sign + digits + "0" * (point - count)
    if 0 < point <= 21:
        return sign + digits[:point] + "." + digits[point:]
    if -6 < point <= 0:
        return sign + "0." + "0" * -point + digits
    power = f"e{'+' if point > 0 else '-'}{abs(point - 1)}"
    return sign + digits[0] + ("." + digits[1:] if count > 1 else "") + power
