"""Fireworks AI: <https://docs.fireworks.ai/tools-sdks/migrate-to-fireworks>."""

from dialect import NAME, Dialect
from rules import Refusal, at_most, exclusive, for_models, known_fields, one_of, tool_names, within


def fireworks_form(refusal):
    error = {"object": "error", "type": "invalid_request_error", "message": refusal.message}
    return {"error": error}


# https://github.com/fw-ai-external/python-sdk (types made of the specification). `stream_options` is
# not among them but sent by other clients without harm:
# https://github.com/vercel/ai/blob/main/packages/fireworks/src/fireworks-provider.ts
FIREWORKS_FIELDS = """
    chat_template_kwargs context_length_exceeded_behavior echo echo_last frequency_penalty
    function_call functions ignore_eos logit_bias logprobs max_completion_tokens max_tokens messages
    metadata min_p mirostat_lr mirostat_target model n parallel_tool_calls perf_metrics_in_response
    prediction presence_penalty prompt_cache_isolation_key prompt_cache_key prompt_truncate_len
    raw_output reasoning_effort reasoning_history repetition_penalty response_format
    return_token_ids safe_tokenization seed service_tier speculation stop stream stream_options
    temperature thinking tool_choice tools top_k top_logprobs top_p typical_p user
"""

DIALECT = Dialect(
    base="/inference/v1",
    models=(
        "accounts/fireworks/models/glm-5p3",
        "accounts/fireworks/models/glm-5p2",
        "accounts/fireworks/models/gpt-oss-120b",
    ),
    error=fireworks_form,
    usage="finish",
    native="/inference",
    rules=(
        # https://github.com/web-infra-dev/midscene/issues/1322
        known_fields(FIREWORKS_FIELDS, Refusal("Extra inputs are not permitted, field: '{name}'")),
        exclusive(
            "max_tokens",
            "max_completion_tokens",
            Refusal("Cannot be specified together with max_tokens"),
        ),
        exclusive(
            "thinking",
            "reasoning_effort",
            Refusal("Cannot specify both thinking and reasoning_effort"),
        ),
        for_models(
            ("accounts/fireworks/models/gpt-oss",),
            one_of(
                "reasoning_effort",
                ("low", "medium", "high"),
                Refusal("Invalid reasoning effort: {value}"),
            ),
        ),
        # https://github.com/earendil-works/pi/issues/8932
        for_models(
            ("accounts/fireworks/models/glm-5p3",),
            one_of(
                "reasoning_effort",
                ("low", "medium", "high", "max"),
                Refusal("Invalid reasoning effort: {value}"),
            ),
        ),
        for_models(
            ("accounts/fireworks/models/glm-5p2",),
            one_of(
                "reasoning_effort",
                ("low", "medium", "high", "none", True, False),
                Refusal("Invalid reasoning effort: {value}"),
            ),
        ),
        within("top_k", 0, 100, Refusal("top_k must be between {low} and {high}")),
        at_most("stop", 4, Refusal("stop: at most {count} items")),
        tool_names(NAME, Refusal("Invalid function name: {name}")),
    ),
)
