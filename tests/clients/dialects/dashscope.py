"""DashScope, Alibaba's Model Studio:
<https://www.alibabacloud.com/help/en/model-studio/error-code>.
"""

from dialect import Dialect, openai_form
from rules import (
    Refusal,
    arguments_are_objects,
    calls_are_answered,
    exclusive,
    for_models,
    one_of,
    tool_choices,
    while_thinking,
    within,
)


def dashscope_form(refusal):
    code = "invalid_parameter_error"
    message = f"<400> InternalError.Algo.InvalidParameter: {refusal.message}"
    return openai_form(Refusal(message, code=code)) | {"id": "chatcmpl-1", "request_id": "1"}


DIALECT = Dialect(
    base="/compatible-mode/v1",
    models=("qwen4-max", "qwen3.8-max", "qwen3.5-plus"),
    error=dashscope_form,
    native="/apps/anthropic",
    search="enable",
    rules=(
        # https://github.com/cloudwego/eino/issues/994
        while_thinking(
            tool_choices(
                ("none", "auto"),
                False,
                Refusal(
                    "The tool_choice parameter does not support being set to required or object in "
                    "thinking mode"
                ),
            )
        ),
        # https://github.com/VicBilibily/GCMP/issues/384
        one_of(
            "reasoning_effort",
            ("none", "minimal", "low", "medium", "high", "xhigh", "max"),
            Refusal("'reasoning_effort' must be one of: {values}"),
        ),
        # https://github.com/anomalyco/opencode/issues/41531
        exclusive(
            "reasoning_effort",
            "thinking_budget",
            Refusal("'reasoning_effort' and 'thinking_budget' cannot be set simultaneously"),
        ),
        # https://github.com/anomalyco/opencode/issues/40770
        for_models(
            ("qwen3.8",),
            within(
                "max_tokens",
                1,
                131_072,
                Refusal("Range of max_tokens should be [{low}, {high}]"),
            ),
        ),
        # https://github.com/NousResearch/hermes-agent/pull/19624
        for_models(
            ("qwen3.5",),
            within(
                "max_tokens",
                1,
                65_536,
                Refusal("Range of max_tokens should be [{low}, {high}]"),
            ),
        ),
        # https://github.com/HKUDS/nanobot/issues/2469
        arguments_are_objects(
            Refusal('The "function.arguments" parameter of the code model must be in JSON format.')
        ),
        # https://github.com/QwenLM/qwen-code/issues/2360
        calls_are_answered(
            Refusal(
                'An assistant message with "tool_calls" must be followed by tool messages responding '
                'to each "tool_call_id". The following tool_call_ids did not have response messages: '
                "message[{index}].role"
            ),
            Refusal(
                'messages with role "tool" must be a response to a preceeding message with '
                '"tool_calls".'
            ),
        ),
    ),
)
