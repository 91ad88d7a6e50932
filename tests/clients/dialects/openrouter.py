"""OpenRouter: <https://openrouter.ai/docs/api/reference/parameters>."""

import json

import native
from dialect import NAME, Dialect
from rules import Refusal, calls_are_answered, reasoning_details, tool_names

from .openai import ORPHAN, UNANSWERED


def openrouter_form(refusal):
    """What the provider behind it said, as a text inside."""
    raw = {"type": "error", "error": {"type": refusal.type, "message": refusal.message}}
    metadata = {"raw": json.dumps(raw), "provider_name": "Anthropic"}
    return {"error": {"message": "Provider returned error", "code": 400, "metadata": metadata}}


DIALECT = Dialect(
    base="/api/v1",
    models=(
        "z-ai/glm-5.3",
        "anthropic/claude-opus-5",
        "google/gemini-3.1-pro-preview",
        "openai/gpt-5.6",
    ),
    error=openrouter_form,
    reasoning="details",
    usage="always",
    comment=": OPENROUTER PROCESSING",
    native="/api",
    native_key_headers=("authorization",),
    native_rules=(native.thinking_is_signed,),
    echo="reasoning_details",
    search="plugin",
    rules=(
        # https://github.com/open-webui/open-webui/issues/26404
        reasoning_details(
            Refusal("messages.{index}.content.0: Invalid `signature` in `thinking` block")
        ),
        tool_names(NAME, Refusal("tools.{index}.name: String should match pattern")),
        calls_are_answered(UNANSWERED, ORPHAN),
    ),
)
