"""NVIDIA NIM: <https://docs.api.nvidia.com/nim/reference/llm-apis>."""

from dialect import NAME, Dialect
from rules import Refusal, known_fields, one_of, for_models, tool_names


def nvidia_form(refusal):
    return {"status": refusal.status, "title": "Bad Request", "detail": refusal.message}


# Fields of vLLM, which it is made of, as far as its own pages have them.
NVIDIA_FIELDS = """
    chat_template_kwargs frequency_penalty logit_bias logprobs max_tokens messages model n
    parallel_tool_calls presence_penalty reasoning_budget reasoning_effort response_format seed stop
    stream stream_options temperature tool_choice tools top_logprobs top_p
"""

DIALECT = Dialect(
    base="/v1",
    models=("nvidia/nemotron-3-super-120b-a12b", "openai/gpt-oss-120b"),
    error=nvidia_form,
    echo="same",
    rules=(
        known_fields(NVIDIA_FIELDS, Refusal("Unsupported parameter(s): `{name}`")),
        for_models(
            ("openai/gpt-oss",),
            one_of(
                "reasoning_effort",
                ("low", "medium", "high"),
                Refusal("Input should be {values}", "reasoning_effort"),
            ),
        ),
        tool_names(NAME, Refusal("Invalid function name")),
    ),
)
