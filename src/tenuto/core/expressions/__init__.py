"""Expressions in `${{ }}`: plain paths, and CEL over JSON values (`docs/plans.md`)."""

from tenuto.core.expressions.errors import ExpressionError
from tenuto.core.expressions.references import PATH_DEPTH_MAX, ROOTS, STEP_FIELDS, Reference, path_text
from tenuto.core.expressions.templates import (
    RENDERED_MAX,
    TEMPLATE_MAX,
    Template,
    parse_condition,
    parse_text,
    parse_value,
)

__all__ = [
    "PATH_DEPTH_MAX",
    "RENDERED_MAX",
    "ROOTS",
    "STEP_FIELDS",
    "TEMPLATE_MAX",
    "ExpressionError",
    "Reference",
    "Template",
    "parse_condition",
    "parse_text",
    "parse_value",
    "path_text",
]
