"""vLLM:
<https://github.com/vllm-project/vllm/blob/main/vllm/entrypoints/openai/chat_completion/protocol.py>.
"""

import native
from dialect import NUMBERS, Dialect, openai_form
from rules import (
    Refusal,
    arguments_are_objects,
    named_tool_exists,
    no_empty_tools,
    one_of,
    only_with,
    system_first,
    tool_choices,
)


def vllm_form(refusal):
    return openai_form(Refusal(refusal.message, refusal.param, 400, type="BadRequestError"))


def vllm_id(body, name, position):
    return f"chatcmpl-tool-{next(NUMBERS):032x}"


DIALECT = Dialect(
    base="/v1",
    models=("Qwen/Qwen3.5-27B",),
    error=vllm_form,
    reasoning="reasoning",
    call_id=vllm_id,
    key_headers=(),
    native="",
    native_key_headers=(),
    native_rules=(native.vllm_blocks, native.tools_have_schemas),
    native_lacks=("a document, PDF", "a document, text", "a server tool"),
    count_tokens=True,
    rules=(
        one_of(
            "reasoning_effort",
            ("none", "minimal", "low", "medium", "high", "xhigh", "max"),
            Refusal("Input should be {values}", "reasoning_effort"),
        ),
        no_empty_tools(
            Refusal(
                "`tools` must not be an empty array. Either provide at least one tool or omit the "
                "field entirely."
            )
        ),
        only_with(
            "tool_choice", "tools", Refusal("When using `tool_choice`, `tools` must be set.")
        ),
        tool_choices(
            ("none", "auto", "required"),
            True,
            Refusal(
                'Invalid value for `tool_choice`: {choice}! Only named tools, "none", "auto" or '
                '"required" are supported.'
            ),
        ),
        named_tool_exists(
            Refusal(
                "The tool specified in `tool_choice` does not match any of the specified `tools`"
            )
        ),
        only_with(
            "stream_options",
            "stream",
            Refusal("Stream options can only be defined when `stream=True`."),
        ),
        # https://github.com/vllm-project/vllm/issues/44000
        system_first(Refusal("System message must be at the beginning.")),
        arguments_are_objects(Refusal("Expecting value: line 1 column 1 (char 0)")),
    ),
)
