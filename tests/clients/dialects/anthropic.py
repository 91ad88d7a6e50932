"""Anthropic, which speaks the Messages API alone:
<https://platform.claude.com/docs/en/api/messages>.
"""

import native
from dialect import Dialect, openai_form

DIALECT = Dialect(
    base="/v1",
    models=("claude-opus-5-5",),
    error=openai_form,
    rules=(),
    search="native",
    native="",
    native_key_headers=("x-api-key", "authorization"),
    native_rules=(
        native.known_fields,
        native.betas_are_named,
        native.thinking_is_signed,
        native.calls_are_answered,
    ),
    count_tokens=True,
)
