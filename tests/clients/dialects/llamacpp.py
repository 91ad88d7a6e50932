"""llama.cpp: <https://github.com/ggml-org/llama.cpp/blob/master/tools/server/server-common.cpp>."""

from dialect import NUMBERS, Dialect
from rules import (
    Refusal,
    content_not_null,
    last_role,
    part_types,
    system_first,
    tool_choices,
    while_thinking,
)


def llamacpp_form(refusal):
    error = {"code": refusal.status, "message": refusal.message, "type": refusal.type}
    return {"error": error}


def bare_id(body, name, position):
    return f"{next(NUMBERS):032x}"


DIALECT = Dialect(
    base="/v1",
    models=("local",),
    error=llamacpp_form,
    call_id=bare_id,
    key_headers=(),
    extra={"timings": {"prompt_n": 1, "predicted_n": 1}},
    native="",
    native_key_headers=(),
    count_tokens=True,
    rules=(
        tool_choices(("none", "auto", "required"), True, Refusal("Invalid tool_choice: {choice}")),
        content_not_null(Refusal("All non-assistant messages must contain 'content'")),
        part_types(
            Refusal("unsupported content[].type"),
            user="text image_url input_audio",
            system="text image_url input_audio",
            tool="text image_url input_audio",
            assistant="text image_url input_audio",
        ),
        # A trailing answer is one that begins: not while the model thinks.
        while_thinking(
            last_role(
                ("user", "tool", "system"),
                Refusal("Assistant response prefill is incompatible with enable_thinking."),
            )
        ),
        # https://github.com/ggml-org/llama.cpp/issues/27107
        system_first(Refusal("System message must be at the beginning.")),
    ),
)
