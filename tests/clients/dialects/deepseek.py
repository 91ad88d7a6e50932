"""DeepSeek: <https://api-docs.deepseek.com/guides/thinking_mode>."""

import json

import native
from dialect import NAME, Dialect, openai_form
from rules import (
    Refusal,
    at_most,
    calls_are_answered,
    content_present,
    one_of,
    part_types,
    reasoning_beside_calls,
    response_formats,
    text_content,
    tool_choices,
    tool_names,
    while_thinking,
    within,
)


def deepseek_form(refusal):
    return openai_form(Refusal(refusal.message, code="invalid_request_error"))


def json_is_named(body):
    kind = (body.get("response_format") or {}).get("type")
    if kind == "json_object" and "json" not in json.dumps(body.get("messages")).lower():
        yield Refusal(
            "Prompt must contain the word 'json' in some form to use 'response_format' of type "
            "'json_object'."
        )


DIALECT = Dialect(
    base="/v1",
    models=("deepseek-v4-pro", "deepseek-flash"),
    error=deepseek_form,
    search="native",
    native="/anthropic",
    native_rules=(
        native.results_first,
        # https://github.com/decolua/9router/issues/2397
        native.thinking_beside_calls(
            Refusal("The `content[].thinking` in the thinking mode must be passed back to the API.")
        ),
    ),
    echo="reasoning_content",
    rules=(
        # https://github.com/JohnnyZ93/oai-compatible-copilot/issues/215
        while_thinking(
            reasoning_beside_calls(
                "reasoning_content",
                Refusal(
                    "The `reasoning_content` in the thinking mode must be passed back to the API."
                ),
            ),
            # https://github.com/BerriAI/litellm/pull/37470
            tool_choices(
                ("none", "auto"),
                False,
                Refusal("Thinking mode does not support this tool_choice"),
            ),
        ),
        tool_choices(
            ("none", "auto", "required"),
            True,
            Refusal(
                "Failed to deserialize the JSON body into the target type: tool_choice: unknown "
                "variant `{choice}`, expected one of `none`, `auto`, `required`"
            ),
        ),
        # https://api-docs.deepseek.com/guides/thinking_mode
        one_of(
            "reasoning_effort",
            ("minimal", "low", "medium", "high", "xhigh", "max", "ultra"),
            Refusal(
                "Failed to deserialize the JSON body into the target type: reasoning_effort: unknown "
                "variant `{value}`, expected one of `low`, `high`, `max`"
            ),
        ),
        # https://github.com/MoonshotAI/kimi-code/issues/509
        within(
            "max_tokens",
            1,
            393_216,
            Refusal("Invalid max_tokens value, the valid range of max_tokens is [{low}, {high}]"),
        ),
        # https://github.com/llm-exe/llm-exe/issues/662
        response_formats(
            ("text", "json_object"), Refusal("This response_format type is unavailable now")
        ),
        # https://github.com/browserbase/stagehand/issues/1204
        json_is_named,
        # https://github.com/zed-industries/zed/issues/57531
        tool_names(
            NAME,
            Refusal(
                "Invalid 'tools[{index}].function.name': string does not match pattern. Expected a "
                "string that matches the pattern '^[a-zA-Z0-9_-]+$'."
            ),
        ),
        at_most("tools", 128, Refusal("Invalid 'tools': array too long.")),
        # https://github.com/danny-avila/LibreChat/issues/10756
        part_types(
            Refusal(
                "Failed to deserialize the JSON body into the target type: messages[{index}].content: "
                "unknown variant `{kind}`, expected `text` at line 1 column 1"
            )
        ),
        # https://github.com/tailcallhq/forgecode/issues/2008
        text_content(
            ("tool",),
            Refusal(
                "Failed to deserialize the JSON body into the target type: messages[{index}]: "
                "invalid type: sequence, expected a string at line 1 column 1"
            ),
        ),
        content_present(
            Refusal(
                "Failed to deserialize the JSON body into the target type: messages[{index}]: "
                "missing field `content` at line 1 column 1"
            )
        ),
        calls_are_answered(
            Refusal(
                "An assistant message with 'tool_calls' must be followed by tool messages responding "
                "to each 'tool_call_id'. (insufficient tool messages following tool_calls message)"
            ),
            Refusal(
                "Messages with role 'tool' must be a response to a preceding message with "
                "'tool_calls'"
            ),
        ),
    ),
)
