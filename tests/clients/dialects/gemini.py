"""Gemini: <https://ai.google.dev/gemini-api/docs/openai>."""

from dialect import NUMBERS, Dialect
from rules import (
    Refusal,
    calls_are_answered,
    for_models,
    has_keyword,
    known_fields,
    one_of,
    only_with,
    thought_signatures,
    tool_names,
    tool_schemas,
)


def gemini_form(refusal):
    error = {"code": refusal.status, "message": refusal.message, "status": "INVALID_ARGUMENT"}
    return [{"error": error}]


def gemini_id(body, name, position):
    # Older models give none: <https://github.com/open-webui/computer/issues/224>
    return "" if body["model"].startswith("gemini-2") else f"{next(NUMBERS):08x}"


# https://ai.google.dev/gemini-api/docs/openai
GEMINI_FIELDS = """
    extra_body max_completion_tokens max_tokens messages model n parallel_tool_calls reasoning_effort
    response_format stop stream stream_options temperature tool_choice tools top_p
"""


def gemini_schema(schema):
    """What `Schema` has no field or no value for."""
    found = has_keyword(
        """
        $schema $ref $defs additionalProperties propertyNames patternProperties const
        exclusiveMinimum exclusiveMaximum
        """
    )(schema)
    if found:
        return f'Unknown name "{found}": Cannot find field.'
    if isinstance(schema.get("type"), list):
        return 'Proto field is not repeating, cannot start list at "type".'
    if schema.get("enum") and schema.get("type", "string") != "string":
        return "enum: only allowed for STRING type"
    if any(not isinstance(value, str) for value in schema.get("enum") or []):
        return "Invalid value at 'enum' (TYPE_STRING)"
    if schema.get("type") == "array" and "items" not in schema:
        return "items: missing field."
    if schema.get("type") == "string" and schema.get("format", "enum") not in ("enum", "date-time"):
        return "format: only 'enum' and 'date-time' are supported for STRING type"
    return None


UNKNOWN = Refusal('Invalid JSON payload received. Unknown name "{name}": Cannot find field.')

DIALECT = Dialect(
    base="/v1beta/openai",
    models=("gemini-3.8-flash", "gemini-3.1-pro-preview", "gemini-2.5-pro"),
    error=gemini_form,
    reasoning="",
    calls="whole",
    call_id=gemini_id,
    index="absent",
    signs=True,
    finish="stop",
    echo="thought_signature",
    rules=(
        # https://github.com/MinLL/SkyrimNet-GamePlugin/issues/77
        known_fields(GEMINI_FIELDS, UNKNOWN),
        # https://github.com/TokenRhythm/opensquilla/issues/225, and for another's or an altered one
        # https://ai.google.dev/gemini-api/docs/thought-signatures
        for_models(
            ("gemini-3",),
            thought_signatures(
                Refusal(
                    "Function call is missing a thought_signature in functionCall parts. This is "
                    "required for tools to work correctly, and missing thought_signature may lead "
                    "to degraded model performance. Additional data, function call "
                    "`default_api:{name}` , position {index}. Please refer to "
                    "https://ai.google.dev/gemini-api/docs/thought-signatures for more details."
                ),
                Refusal("Corrupted thought signature."),
            ),
            # https://github.com/pydantic/pydantic-ai/issues/1967
            one_of(
                "reasoning_effort",
                ("minimal", "low", "medium", "high"),
                Refusal("Thinking can't be disabled for this model."),
            ),
        ),
        # https://github.com/tashfeenahmed/freellmapi/pull/160
        for_models(
            ("gemini-3.1-pro",),
            one_of(
                "reasoning_effort",
                ("low", "medium", "high"),
                Refusal("Thinking level {value} is not supported for this model."),
            ),
        ),
        # https://github.com/openswarm-ai/openswarm/issues/24,
        # https://github.com/google-gemini/gemini-cli/issues/3178
        tool_schemas(
            gemini_schema,
            Refusal(
                "Invalid value at 'tools[0].function_declarations[{index}].parameters': {what}"
            ),
        ),
        # https://github.com/google-gemini/gemini-cli/issues/7878
        tool_names(
            r"[a-zA-Z_][a-zA-Z0-9_.-]{0,63}",
            Refusal(
                "Invalid value at 'tools[0].function_declarations[{index}].name': [FIELD_INVALID] "
                "Invalid function name. Must start with a letter or an underscore. Must be a-z, "
                "A-Z, 0-9, or contain underscores, dots and dashes, with a maximum length of 64."
            ),
        ),
        # https://github.com/musistudio/claude-code-router/pull/1207
        only_with(
            "tool_choice",
            "tools",
            Refusal("Function calling config is set without function_declarations."),
        ),
        # https://github.com/anomalyco/opencode/pull/43479
        calls_are_answered(
            Refusal(
                "Please ensure that the number of function response parts is equal to the number of "
                "function call parts of the function call turn."
            ),
            Refusal(
                "Please ensure that function response turn comes immediately after a function call "
                "turn."
            ),
        ),
    ),
)
