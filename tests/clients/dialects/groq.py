"""Groq: <https://console.groq.com/docs/openai>."""

from dialect import NAME, Dialect, openai_form
from rules import (
    MESSAGE_FIELDS,
    Refusal,
    at_most,
    for_models,
    has_keyword,
    known_fields,
    known_message_fields,
    known_tool_fields,
    named_tool_exists,
    nowhere,
    one_of,
    text_content,
    tool_choices,
    tool_names,
    tool_schemas,
    unknown_fields,
    within,
)


def sparse_form(refusal):
    """The same without what is null."""
    error = openai_form(refusal)["error"]
    return {"error": {name: value for name, value in error.items() if value is not None}}


# https://github.com/groq/groq-python/blob/main/src/groq/types/chat/completion_create_params.py
GROQ_FIELDS = """
    citation_options compound_custom disable_tool_validation documents exclude_domains
    frequency_penalty function_call functions include_domains include_reasoning logit_bias logprobs
    max_completion_tokens max_tokens messages metadata model n parallel_tool_calls presence_penalty
    reasoning_effort reasoning_format response_format search_settings seed service_tier stop store
    stream stream_options temperature tool_choice tools top_logprobs top_p user
"""

DIALECT = Dialect(
    base="/openai/v1",
    models=("openai/gpt-oss-120b", "moonshotai/kimi-k2-instruct", "qwen/qwen3-32b"),
    error=sparse_form,
    reasoning="reasoning",
    silent_models=("moonshotai/",),
    usage="x_groq",
    search="compound",
    rules=(
        # https://github.com/musistudio/llms/pull/64
        known_fields(GROQ_FIELDS, Refusal("property '{name}' is unsupported")),
        unknown_fields(
            "logprobs logit_bias top_logprobs",
            Refusal("property '{name}' is unsupported"),
        ),
        # https://github.com/janhq/jan/issues/8136, https://github.com/karthink/gptel/issues/774
        known_message_fields(
            Refusal(
                "'messages.{index}' : for 'role:{role}' the following must be satisfied"
                "[('messages.{index}' : property '{name}' is unsupported)]"
            ),
            {role: names.replace(" name", "") for role, names in MESSAGE_FIELDS.items()},
        ),
        known_tool_fields(Refusal("'tools.{index}' : property '{name}' is unsupported")),
        # https://console.groq.com/docs/openai
        nowhere("cache_control", Refusal("property '{name}' is unsupported")),
        tool_schemas(has_keyword("$schema"), Refusal("property '{what}' is unsupported")),
        # https://github.com/OpenHands/OpenHands/issues/4643
        text_content(
            ("system", "assistant"),
            Refusal(
                "'messages.{index}' : for 'role:{role}' the following must be satisfied"
                "[('messages.{index}.content' : value must be a string)]"
            ),
        ),
        # https://github.com/anomalyco/opencode/issues/1000
        for_models(
            ("moonshotai/",),
            within(
                "max_completion_tokens",
                1,
                16384,
                Refusal("`max_tokens` must be less than or equal to `{high}`", "max_tokens"),
            ),
            # https://github.com/iamsrikanthnani/pluely/issues/242
            unknown_fields(
                "reasoning_effort reasoning_format",
                Refusal("`{name}` is not supported with this model"),
            ),
        ),
        for_models(
            ("qwen/",),
            # https://github.com/RooCodeInc/Roo-Code/pull/5136
            within(
                "max_completion_tokens",
                1,
                40960,
                Refusal("`max_tokens` must be less than or equal to `{high}`", "max_tokens"),
            ),
            # https://github.com/Alishahryar1/free-claude-code/issues/1348
            one_of(
                "reasoning_effort",
                ("none", "default"),
                Refusal("`reasoning_effort` must be one of `none` or `default`"),
            ),
        ),
        for_models(
            ("openai/gpt-oss",),
            one_of(
                "reasoning_effort",
                ("low", "medium", "high"),
                Refusal("`reasoning_effort` must be one of `low`, `medium`, or `high`"),
            ),
        ),
        # https://console.groq.com/docs/openai
        at_most("stop", 4, Refusal("'stop' : maximum number of items is {count}")),
        # https://github.com/mastra-ai/mastra/issues/9688
        at_most("tools", 128, Refusal("'tools' : maximum number of items is {count}")),
        # https://github.com/brianpetro/obsidian-smart-connections/issues/942
        tool_choices(
            ("none", "auto", "required"),
            True,
            Refusal("Only allowed string values for 'tool_choice' are none, auto, and required"),
        ),
        named_tool_exists(Refusal("requested tool does not exist")),
        tool_names(NAME, Refusal("'tools.{index}.function.name' : does not match pattern")),
    ),
)
