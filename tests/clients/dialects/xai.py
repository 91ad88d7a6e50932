"""xAI: <https://docs.x.ai/docs/guides/reasoning>."""

from dialect import Dialect
from rules import (
    Refusal,
    at_most,
    for_models,
    has_keyword,
    one_of,
    only_with,
    tool_schemas,
    unknown_fields,
)


def xai_form(refusal):
    return {"code": "Client specified an invalid argument", "error": refusal.message}


DIALECT = Dialect(
    base="/v1",
    models=("grok-4.7", "grok-4.6", "grok-4.20-reasoning"),
    error=xai_form,
    calls="whole",
    search="responses",
    rules=(
        # https://github.com/BerriAI/litellm/issues/12635
        unknown_fields("stop", Refusal("Argument not supported on this model: {name}")),
        # https://github.com/miaoxworld/NativeTavern/issues/83
        unknown_fields(
            "presence_penalty",
            Refusal("Model grok-4.6 does not support parameter presencePenalty."),
        ),
        unknown_fields(
            "frequency_penalty",
            Refusal("Model grok-4.6 does not support parameter frequencyPenalty."),
        ),
        # https://github.com/router-for-me/CLIProxyAPI/pull/3968
        for_models(
            ("grok-4.20-reasoning",),
            unknown_fields(
                "reasoning_effort",
                Refusal("Model grok-4.20-reasoning does not support parameter reasoningEffort."),
            ),
        ),
        # https://github.com/anomalyco/opencode/issues/39448
        for_models(
            ("grok-4.6", "grok-4.7"),
            one_of(
                "reasoning_effort",
                ("low", "medium", "high", "xhigh"),
                Refusal("Model {model} does not support reasoningEffort {value}."),
            ),
        ),
        # https://github.com/anomalyco/opencode/issues/28911
        at_most(
            "tools",
            200,
            Refusal(
                "Maximum tools limit reached. {seen} tools have been provided but the maximum is "
                "{count}."
            ),
        ),
        # https://github.com/Wei-Shaw/sub2api/pull/4439
        only_with("tool_choice", "tools", Refusal("A tool_choice was set without any tools.")),
        # https://github.com/openclaw/openclaw/pull/32080
        tool_schemas(
            has_keyword("minLength maxLength minItems maxItems minContains maxContains"),
            Refusal("Invalid arguments passed to the model."),
        ),
    ),
)
