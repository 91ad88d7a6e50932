"""Volcengine Ark: <https://www.volcengine.com/docs/82379/1494384>."""

from dialect import NAME, Dialect, openai_form
from rules import Refusal, at_most, for_models, one_of, tool_names, unknown_fields


def ark_form(refusal):
    return openai_form(Refusal(refusal.message, refusal.param, code="InvalidParameter"))


DIALECT = Dialect(
    base="/api/v3",
    models=("doubao-seed-2-1-pro-260628", "deepseek-v4-pro-ga-260813"),
    error=ark_form,
    native="/api/compatible",
    rules=(
        # https://docs.comfy.org/development/comfy-router/models/byteplus/seed-2-0-pro-260328/code
        for_models(
            ("doubao-seed", "dola-seed", "seed-"),
            one_of(
                "reasoning_effort",
                ("minimal", "low", "medium", "high"),
                Refusal(
                    "The parameter `reasoning_effort` specified in the request is not valid: expected "
                    "one of minimal, low, medium, high"
                ),
            ),
        ),
        unknown_fields("enable_thinking", Refusal("unknown field {name}")),
        at_most("stop", 4, Refusal("`stop` has more than {count} elements")),
        tool_names(NAME, Refusal("`tools.function.name` is not valid")),
    ),
)
