"""Moonshot AI, which makes Kimi:
<https://github.com/api-evangelist/moonshot-ai/blob/main/openapi/moonshot-ai-chat-api-openapi.yml>.
"""

import native
from dialect import Dialect
from rules import (
    Refusal,
    at_most,
    exclusive,
    for_models,
    reasoning_beside_calls,
    texts_not_empty,
    tool_choices,
    tool_names,
    tool_schemas,
    while_thinking,
    within,
)


def moonshot_form(refusal):
    return {"error": {"message": refusal.message, "type": "invalid_request_error"}}


def kimi_id(body, name, position):
    """`functions.NAME:NUMBER`, counted through the conversation."""
    before = sum(len(message.get("tool_calls") or []) for message in body["messages"])
    return f"functions.{name}:{before + position}"


def kimi_schema(schema):
    """https://github.com/MoonshotAI/kimi-cli/issues/2531, https://github.com/earendil-works/pi/issues/4138"""
    reference = schema.get("$ref")
    if reference is not None and not str(reference).startswith("#/$defs"):
        return "references must start with #/$defs/"
    if reference is not None and len(schema) > 1:
        other = next(name for name in schema if name != "$ref")
        return f"conflicting keywords found after $ref expansion: {other}"
    if "anyOf" in schema and "type" in schema:
        return (
            "when using anyOf, type should be defined in anyOf items instead of the parent schema"
        )
    for name, inner in (schema.get("properties") or {}).items():
        if isinstance(inner, dict) and not {"type", "anyOf", "$ref", "enum"} & set(inner):
            return f"At path 'properties.{name}': type is not defined"
    return None


DIALECT = Dialect(
    base="/v1",
    models=("kimi-k3", "kimi-k2.6"),
    error=moonshot_form,
    call_id=kimi_id,
    usage="choice",
    native="/anthropic",
    native_rules=(
        # https://github.com/anthropics/claude-code/issues/37757
        native.thinking_beside_calls(
            Refusal(
                "thinking is enabled but reasoning_content is missing in assistant tool call "
                "message at index {index}"
            )
        ),
    ),
    echo="reasoning_content",
    rules=(
        # https://github.com/continuedev/continue/issues/11600
        while_thinking(
            reasoning_beside_calls(
                "reasoning_content",
                Refusal(
                    "thinking is enabled but reasoning_content is missing in assistant tool call "
                    "message at index {index}"
                ),
            ),
        ),
        # https://github.com/UKGovernmentBEIS/inspect_ai/pull/5152
        for_models(
            ("kimi-k2",),
            while_thinking(
                tool_choices(
                    ("none", "auto"),
                    False,
                    Refusal("tool_choice '{choice}' is incompatible with thinking enabled"),
                )
            ),
        ),
        # https://github.com/HKUDS/nanobot/issues/3939
        exclusive(
            "thinking",
            "reasoning_effort",
            Refusal("cannot specify both 'thinking' and 'reasoning_effort'"),
        ),
        # https://github.com/anomalyco/opencode/issues/27796
        within(
            "temperature",
            1,
            1,
            Refusal("invalid temperature: only 1 is allowed for this model"),
        ),
        within(
            "top_p",
            0.95,
            0.95,
            Refusal("invalid top_p: only 0.95 is allowed for this model"),
        ),
        at_most("stop", 5, Refusal("stop: at most {count} strings are allowed")),
        at_most("tools", 128, Refusal("at most {count} tools are allowed")),
        # https://github.com/MoonshotAI/kimi-cli/issues/1773
        tool_names(
            r"[a-zA-Z_][a-zA-Z0-9_-]{2,63}",
            Refusal(
                "function name is invalid, must start with a letter and can contain letters, "
                "numbers, underscores, and dashes"
            ),
        ),
        tool_schemas(
            kimi_schema,
            Refusal(
                "Invalid request: tools.function.parameters is not a valid moonshot flavored json "
                "schema, details: <{what}>"
            ),
        ),
        texts_not_empty(Refusal("Invalid request: message at position {index} must not be empty")),
    ),
)
