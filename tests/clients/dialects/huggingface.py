"""Hugging Face's router: <https://huggingface.co/docs/inference-providers/en/tasks/chat-completion>."""

from dialect import NAME, Dialect, openai_form
from rules import Refusal, at_most, one_of, tool_names, unknown_fields

DIALECT = Dialect(
    base="/v1",
    models=("zai-org/GLM-5.3", "openai/gpt-oss-120b"),
    error=openai_form,
    echo="same",
    rules=(
        one_of(
            "reasoning_effort",
            ("none", "minimal", "low", "medium", "high", "xhigh", "max"),
            Refusal("reasoning_effort must be one of {values}", "reasoning_effort"),
        ),
        unknown_fields("enable_thinking thinking top_k", Refusal("unknown field `{name}`")),
        at_most("stop", 4, Refusal("stop: at most {count}")),
        tool_names(NAME, Refusal("tools: invalid name")),
    ),
)
