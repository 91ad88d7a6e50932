"""OpenAI: <https://github.com/openai/openai-python> (types made of the specification).

A rule of another source names it.
"""

import responses_rules
from dialect import NAME, Dialect, openai_form
from rules import (
    Refusal,
    at_most,
    call_ids,
    calls_are_answered,
    content_not_null,
    exclusive,
    for_models,
    image_urls,
    known_fields,
    named_tool_exists,
    no_empty_tools,
    only_with,
    part_types,
    tool_choices,
    tool_names,
    tools_of,
    unknown_fields,
    within,
)

# https://github.com/openai/openai-python/blob/main/src/openai/types/chat/completion_create_params.py
OPENAI_FIELDS = """
    audio frequency_penalty function_call functions logit_bias logprobs max_completion_tokens
    max_tokens messages metadata modalities model moderation n parallel_tool_calls prediction
    presence_penalty prompt_cache_key prompt_cache_options prompt_cache_retention reasoning_effort
    response_format safety_identifier seed service_tier stop store stream stream_options temperature
    tool_choice tools top_logprobs top_p user verbosity web_search_options
"""
REASONING = ("gpt-5", "gpt-6", "o1", "o3", "o4")
UNSUPPORTED = Refusal(
    "Unsupported parameter: '{name}' is not supported with this model.",
    "{name}",
    "unsupported_parameter",
)
TOO_LONG = Refusal(
    "Invalid '{name}': array too long. Expected an array with maximum length {count}, but got an array "
    "with length {seen} instead.",
    "{name}",
    "array_above_max_length",
)
UNANSWERED = Refusal(
    "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
    "'tool_call_id'. The following tool_call_ids did not have response messages: {ids}",
    "messages.[{index}].role",
)
ORPHAN = Refusal(
    "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with "
    "'tool_calls'.",
    "messages.[{index}].role",
)


def default_sampling(body):
    """Models that think take 1 only, the newer ones anything while they do not."""
    model, effort = str(body.get("model")), body.get("reasoning_effort")
    if not model.startswith(REASONING):
        return
    if model.startswith(("gpt-5.1", "gpt-5.2", "gpt-5.4")) and effort == "none":
        return
    for name in ("temperature", "top_p"):
        if body.get(name, 1) != 1:
            yield Refusal(
                f"Unsupported value: '{name}' does not support {body[name]} with this model. Only the "
                "default (1) value is supported.",
                name,
                "unsupported_value",
            )


def effort_or_tools(body):
    """https://github.com/pipecat-ai/pipecat/issues/4043, https://github.com/BerriAI/litellm/pull/34569"""
    model, effort = str(body.get("model")), body.get("reasoning_effort")
    strict = model.startswith(("gpt-5.6", "gpt-6")) and effort != "none"
    newer = model.startswith(("gpt-5.4", "gpt-5.5")) and effort not in (None, "none")
    if body.get("tools") and (strict or newer):
        hint = "Please use /v1/responses instead."
        if strict:
            hint = "To use function tools, use /v1/responses or set reasoning_effort to 'none'."
        yield Refusal(
            f"Function tools with reasoning_effort are not supported for {model} in "
            f"/v1/chat/completions. {hint}",
            "reasoning_effort",
        )


def openai_schemas(body):
    for index, function in tools_of(body):
        place, name = f"tools[{index}].function.parameters", function.get("name")
        yield from responses_rules.schema_refusals(place, name, function.get("parameters"))


def openai_efforts(body):
    """https://vercel.com/docs/ai-gateway/capabilities/reasoning/openai"""
    model = str(body.get("model"))
    known = next(
        (k for start, k in responses_rules.EFFORTS.items() if model.startswith(start)), None
    )
    if "reasoning_effort" in body and known is None:
        yield Refusal("Unrecognized request argument supplied: reasoning_effort")
    elif "reasoning_effort" in body and body["reasoning_effort"] not in known:
        yield Refusal(
            f"Unsupported value: 'reasoning_effort' does not support '{body['reasoning_effort']}' with "
            f"this model. Supported values are: {responses_rules.listing(known)}.",
            "reasoning_effort",
            "unsupported_value",
        )


# https://github.com/openai/openai-python (types made of the specification), and where noted
OPENAI_RULES = (
    # https://github.com/nashsu/llm_wiki/issues/336
    known_fields(OPENAI_FIELDS, Refusal("Unrecognized request argument supplied: {name}")),
    for_models(
        REASONING,
        # https://github.com/koosoli/ESPHomeDesigner/issues/379
        unknown_fields(
            "max_tokens",
            Refusal(
                "Unsupported parameter: '{name}' is not supported with this model. Use "
                "'max_completion_tokens' instead.",
                "{name}",
                "unsupported_parameter",
            ),
        ),
        # https://github.com/huggingface/smolagents/pull/1662
        unknown_fields("stop presence_penalty frequency_penalty logit_bias", UNSUPPORTED),
    ),
    # https://github.com/enoch3712/ExtractThinker/issues/346
    for_models(
        ("gpt-4o",),
        within(
            "max_completion_tokens",
            1,
            16384,
            Refusal(
                "{name} is too large: {value}. This model supports at most {high} completion tokens, "
                "whereas you provided {value}.",
                "{name}",
            ),
        ),
    ),
    within(
        "max_completion_tokens",
        1,
        128_000,
        Refusal(
            "{name} is too large: {value}. This model supports at most {high} completion tokens, "
            "whereas you provided {value}.",
            "{name}",
        ),
    ),
    exclusive(
        "max_tokens",
        "max_completion_tokens",
        Refusal(
            "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported."
        ),
    ),
    default_sampling,
    openai_efforts,
    effort_or_tools,
    # https://github.com/continuedev/continue/issues/1572
    at_most("stop", 4, TOO_LONG),
    # https://github.com/musistudio/claude-code-router/issues/686
    at_most("tools", 128, TOO_LONG),
    no_empty_tools(
        Refusal(
            "Invalid 'tools': empty array. Expected an array with minimum length 1, but got an empty "
            "array instead.",
            "tools",
            "empty_array",
        )
    ),
    only_with(
        "tool_choice", "tools", Refusal("'{name}' is only allowed when 'tools' are specified.")
    ),
    only_with(
        "parallel_tool_calls",
        "tools",
        Refusal("'{name}' is only allowed when 'tools' are specified."),
    ),
    only_with(
        "stream_options",
        "stream",
        Refusal("The '{name}' parameter is only allowed when 'stream' is enabled.", "{name}"),
    ),
    tool_names(
        NAME,
        Refusal(
            "Invalid 'tools[{index}].function.name': string does not match pattern. Expected a string "
            "that matches the pattern '^[a-zA-Z0-9_-]+$'.",
            "tools[{index}].function.name",
            "invalid_value",
        ),
    ),
    tool_choices(
        ("none", "auto", "required"),
        True,
        Refusal(
            "Invalid value: '{choice}'. Supported values are: 'none', 'auto', and 'required'.",
            "tool_choice",
            "invalid_value",
        ),
    ),
    named_tool_exists(
        Refusal(
            "Invalid value for 'tool_choice': 'function' {name} is not in the 'tools'.",
            "tool_choice",
        )
    ),
    openai_schemas,
    # https://github.com/camel-ai/camel/issues/2215
    call_ids(
        r".{1,40}",
        Refusal(
            "Invalid 'messages[1].tool_calls[0].id': string too long. Expected a string with maximum "
            "length 40, but got '{id}' instead.",
            "messages[1].tool_calls[0].id",
            "string_above_max_length",
        ),
    ),
    calls_are_answered(UNANSWERED, ORPHAN),
    content_not_null(
        Refusal(
            "Invalid value for 'content': expected a string, got null.",
            "messages.[{index}].content",
        )
    ),
    part_types(
        Refusal(
            "Invalid 'messages[{index}]': a part of type '{kind}' is not allowed for messages with role "
            "'{role}'.",
            "messages[{index}]",
        ),
        user="text image_url file input_audio",
        assistant="text refusal",
    ),
    image_urls(
        r"data:image/(png|jpeg|gif|webp);base64,|https?://",
        Refusal("Invalid image URL in 'messages[{index}]'.", None, "invalid_image_url"),
    ),
)

DIALECT = Dialect(
    base="/v1",
    models=("gpt-6.1-sol", "gpt-5.6", "gpt-5.4", "gpt-5", "gpt-4o"),
    error=openai_form,
    reasoning="",
    extra={"service_tier": "default", "obfuscation": "aBcD"},
    responses=True,
    responses_only=("gpt-6.1-sol",),
    search="responses",
    rules=OPENAI_RULES,
)
