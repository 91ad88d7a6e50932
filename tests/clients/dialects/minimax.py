"""MiniMax: <https://platform.minimax.io/docs/api-reference/text-anthropic-api>."""

import native
from dialect import NAME, Dialect
from rules import Refusal, for_models, one_of, tool_names, unknown_fields, within


def minimax_form(refusal):
    """https://github.com/earendil-works/pi/issues/5605"""
    error = {"type": "bad_request_error", "message": f"invalid params, {refusal.message} (2013)"}
    return {"type": "error", "error": error, "request_id": "1"}


DIALECT = Dialect(
    base="/v1",
    models=("MiniMax-M3", "MiniMax-M3.1-Flash"),
    error=minimax_form,
    native="/anthropic",
    native_rules=(
        # "the complete model response must be append to the conversation history"
        native.thinking_beside_calls(Refusal("thinking is missing in message {index}")),
    ),
    echo="reasoning_content",
    rules=(
        # https://platform.minimax.io/docs/guides/text-generation
        for_models(
            ("MiniMax-M3.1",),
            one_of(
                "reasoning_effort",
                ("low", "medium", "high", "xhigh", "max"),
                Refusal("reasoning_effort: {value}"),
            ),
            within("max_tokens", 1, 524_288, Refusal("max_tokens: {value}")),
        ),
        for_models(("MiniMax-M3",), within("max_tokens", 1, 524_288, Refusal("max_tokens"))),
        unknown_fields("enable_thinking chat_template_kwargs", Refusal("unknown field {name}")),
        tool_names(NAME, Refusal("tool name is invalid")),
    ),
)
