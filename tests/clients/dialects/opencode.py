"""OpenCode Zen: <https://opencode.ai/docs/zen>."""

from dialect import NAME, Dialect
from rules import Refusal, for_models, one_of, tool_names, unknown_fields


def opencode_form(refusal):
    error = {"type": "invalid_request_error", "message": f"Error from provider: {refusal.message}"}
    return {"type": "error", "error": error}


DIALECT = Dialect(
    base="/zen/v1",
    models=("glm-5.3", "kimi-k3"),
    error=opencode_form,
    native="/zen",
    echo="reasoning_content",
    rules=(
        for_models(
            ("glm-5.3", "kimi-k3"),
            one_of("reasoning_effort", ("low", "high", "max"), Refusal("reasoning_effort {value}")),
        ),
        unknown_fields("enable_thinking thinking top_k", Refusal("unknown field {name}")),
        tool_names(NAME, Refusal("tools: invalid name {name}")),
    ),
)
