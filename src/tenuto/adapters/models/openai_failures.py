"""What a failed exchange with a server means: who counted it, and whether another try can help."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any

from tenuto.core.canonical import clean
from tenuto.errors import ModelCallError

__all__ = ["failure_of_status", "retry_after_ms", "without_secrets"]

_EXCERPT_MAX = 300
_WAIT_MS_MAX = 24 * 3_600_000
_KEY = re.compile(r"\b(sk|pk|rk|key|Bearer)[-_ ][A-Za-z0-9*_\-.]{6,}")
_CONTEXT_CODES = ("context_length_exceeded", "exceed_context_size_error")


def failure_of_status(
    status: int, body: bytes, headers: Mapping[str, str], *, secret: str, now_us: int
) -> ModelCallError:
    """The error that a status other than 2xx stands for.

    A provider counts nothing for a request that it refuses (4xx, 429 too): `sent` is False there. Everything
    else may have been counted.
    """
    message, codes = _said(body, secret)
    what = f"the server answered {status}" + (f": {message}" if message else "")
    kind, retryable, fix = _meaning(status, codes, message)
    return ModelCallError(
        what,
        kind=kind,
        sent=not 400 <= status < 500,
        retryable=retryable,
        status=status,
        retry_after_ms=retry_after_ms(headers, now_us) if retryable else None,
        fix=fix,
    )


def _meaning(status: int, codes: set[str], message: str) -> tuple[str, bool, str]:
    """Kind, whether to try again, and what a person can do."""
    if not codes.isdisjoint(_CONTEXT_CODES) or (status in (400, 413) and "context length" in message.lower()):
        return "context_length", False, "shorten the prompt or choose a model with a larger context"
    if status in (401, 403):
        return "unauthorized", False, "check the API key (OPENAI_API_KEY) and what it may use"
    if status == 404:
        return "bad_request", False, "check the model's name and the base URL (OPENAI_BASE_URL)"
    if status == 413:
        return "too_large", False, "send less"
    if status == 429:
        if "insufficient_quota" in codes:
            return "rate_limited", False, "the account's quota is used up"
        return "rate_limited", True, ""
    if status == 408:
        return "timeout", True, ""
    if status in (409, 425):
        return "rate_limited", True, ""
    if 400 <= status < 500:
        return "bad_request", False, ""
    if status >= 500:
        return "server", status not in (501, 505), ""
    return "bad_response", False, "check the base URL (OPENAI_BASE_URL)"


def _said(body: bytes, secret: str) -> tuple[str, set[str]]:
    """What the server says, short and without secrets, and the codes it gives."""
    try:
        decoded: Any = clean(json.loads(body))
    except (ValueError, RecursionError):
        decoded = None
    error = decoded.get("error", decoded) if isinstance(decoded, dict) else decoded
    if isinstance(error, dict):
        text = error.get("message") or error.get("detail") or ""
        codes = {str(error[key]) for key in ("code", "type") if isinstance(error.get(key), str)}
        return without_secrets(text if isinstance(text, str) else "", secret), codes
    if isinstance(error, str):
        return without_secrets(error, secret), set()
    return without_secrets(body[: 4 * _EXCERPT_MAX].decode("utf-8", "replace"), secret), set()


def without_secrets(text: str, secret: str) -> str:
    """One short line of `text`, with the key and whatever looks like one replaced."""
    if secret:
        text = text.replace(secret, "[api key]")
    line = " ".join(_KEY.sub("[api key]", text).split())
    return line if len(line) <= _EXCERPT_MAX else line[: _EXCERPT_MAX - 3] + "..."


def retry_after_ms(headers: Mapping[str, str], now_us: int) -> int | None:
    """The wait that `Retry-After` (seconds or a date) or `retry-after-ms` asks for; None where there is none.

    Never negative, never more than a day; what cannot be read counts as absent.
    """
    exact = _number(headers.get("retry-after-ms"))
    if exact is not None:
        return min(_WAIT_MS_MAX, math.ceil(exact))
    value = headers.get("retry-after")
    seconds = _number(value)
    if seconds is not None:
        return min(_WAIT_MS_MAX, math.ceil(seconds * 1_000))
    if value is None:
        return None
    try:
        when = parsedate_to_datetime(value)
    except (ValueError, IndexError, OverflowError):
        return None
    stamp = (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    return max(0, min(_WAIT_MS_MAX, math.ceil(stamp * 1_000 - now_us / 1_000)))


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text is not None else -1.0
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None
