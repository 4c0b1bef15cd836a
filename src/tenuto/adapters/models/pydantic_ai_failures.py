"""What the errors of pydantic-ai mean: who counted the call, and whether another try can help."""

from __future__ import annotations

from pydantic_ai import exceptions as library

from tenuto.adapters.models.bounded_http import RefusedReplyError
from tenuto.adapters.models.openai_failures import failure_of_status, without_secrets
from tenuto.core.canonical import canonical, clean
from tenuto.errors import ModelCallError

__all__ = ["failure_of"]

_WAIT_MS_MAX = 24 * 3_600_000


def failure_of(error: Exception, *, secret: str, now_us: int) -> ModelCallError:
    """The failure that an exception of the library stands for. What nobody knows may have been counted."""
    refused = _refused_reply(error)
    if refused is not None:
        return ModelCallError(str(refused), kind=refused.kind, sent=True, retryable=False, status=200)
    text = without_secrets(str(error), secret) or type(error).__name__
    match error:
        case library.ModelHTTPError():
            return _of_status(error, secret, now_us)
        case library.ModelConnectionError(phase="pool" | "connect"):
            return ModelCallError(
                f"no connection to the server: {text}", kind="refused_connection", sent=False, retryable=True
            )
        case library.ModelTimeoutError() | library.ModelRequestTimeout():
            return ModelCallError(text, kind="timeout", sent=True, retryable=True)
        case library.ModelConnectionError():
            return ModelCallError(f"the connection was cut: {text}", kind="cut_stream", sent=True, retryable=True)
        case library.ModelAPIError():
            kind, retryable = _category(error) or ("server", True)
            return ModelCallError(
                text, kind=kind, sent=True, retryable=retryable, retry_after_ms=_wait_ms(error, retryable=retryable)
            )
        case library.UserError():
            return ModelCallError(
                f"the request cannot be sent: {text}", kind="bad_request", sent=False, retryable=False
            )
        case library.UnexpectedModelBehavior():
            return ModelCallError(text, kind="bad_response", sent=True, retryable=True)
        case _:  # what the library raises where an answer is not what it expects
            what = f"{type(error).__name__}: {text}"
            return ModelCallError(what, kind="bad_response", sent=True, retryable=True)


def _of_status(error: library.ModelHTTPError, secret: str, now_us: int) -> ModelCallError:
    try:
        body = canonical(clean(error.body))
    except (TypeError, ValueError):
        body = str(error.body or "").encode("utf-8", "replace")
    failure = failure_of_status(error.status_code, body, error.headers or {}, secret=secret, now_us=now_us)
    known = _category(error)
    if known is not None:
        failure.kind, failure.retryable = known
    if failure.kind in ("unauthorized", "bad_request"):
        failure.fix = "check the model's name" if error.status_code == 404 else ""
    failure.retry_after_ms = _wait_ms(error, retryable=failure.retryable)
    failure.sent = failure.sent or error.in_stream
    return failure


def _category(error: library.ModelAPIError) -> tuple[str, bool] | None:
    """What the library knows beyond the status: kind, and whether another try can help."""
    match error:
        case library.ModelContextWindowExceededError():
            return "context_length", False
        case library.ModelAuthenticationError():
            return "unauthorized", False
        case library.ModelQuotaExceededError():
            return "rate_limited", False
        case library.ModelRateLimitError():
            return "rate_limited", True
        case library.ModelUnavailableError() | library.ModelServerError():
            return "server", True
        case _:
            return None


def _wait_ms(error: library.ModelAPIError, *, retryable: bool) -> int | None:
    if not retryable or error.retry_after is None:
        return None
    return max(0, min(_WAIT_MS_MAX, int(error.retry_after * 1_000 + 0.999)))


def _refused_reply(error: BaseException | None) -> RefusedReplyError | None:
    """Our own refusal of a reply, which libraries wrap in errors of theirs."""
    for _ in range(8):
        if error is None or isinstance(error, RefusedReplyError):
            return error
        error = error.__cause__ or error.__context__
    return None
