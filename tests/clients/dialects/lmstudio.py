"""LM Studio: <https://lmstudio.ai/docs/developer/openai-compat/chat-completions>."""

from dialect import Dialect, nine_characters
from rules import Refusal, text_content, tool_choices


def lmstudio_form(refusal):
    return {"error": refusal.message}


DIALECT = Dialect(
    base="/v1",
    models=("openai/gpt-oss-20b", "qwen3-coder"),
    error=lmstudio_form,
    reasoning_elsewhere=(("openai/gpt-oss", "reasoning"),),
    call_id=nine_characters,
    key_headers=(),
    unknown_path_status=200,
    native="",
    native_key_headers=(),
    rules=(
        # https://github.com/lmstudio-ai/lmstudio-bug-tracker/issues/670
        tool_choices(
            ("none", "auto", "required"),
            False,
            Refusal(
                "Invalid tool_choice type: '{choice}'. Supported string values: none, auto, required"
            ),
        ),
        # https://github.com/lmstudio-ai/lmstudio-bug-tracker/issues/1077
        text_content(("tool",), Refusal("invalid_type: messages.{index}.content: expected string")),
    ),
)
