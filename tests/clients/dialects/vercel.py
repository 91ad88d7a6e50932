"""Vercel's AI Gateway: <https://vercel.com/docs/ai-gateway/sdks-and-apis/openai-chat-completions>."""

from dialect import NAME, Dialect, openai_form
from rules import Refusal, tool_names, unknown_fields


def reasoning_is_known(body):
    """https://vercel.com/docs/ai-gateway/sdks-and-apis/openai-chat-completions/advanced"""
    reasoning = body.get("reasoning") or {}
    words = ("none", "minimal", "low", "medium", "high", "xhigh")
    if reasoning.get("effort", "low") not in words:
        yield Refusal(f"Invalid reasoning.effort: expected one of {', '.join(words)}")
    if "effort" in reasoning and "max_tokens" in reasoning:
        yield Refusal("reasoning.effort and reasoning.max_tokens are mutually exclusive")


DIALECT = Dialect(
    base="/v1",
    models=("zai/glm-5.3",),
    error=openai_form,
    reasoning="reasoning",
    usage="always",
    native="",
    rules=(
        reasoning_is_known,
        unknown_fields("enable_thinking thinking top_k", Refusal("Unrecognized key: {name}")),
        tool_names(NAME, Refusal("tools: invalid name {name}")),
    ),
)
