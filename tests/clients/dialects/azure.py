"""Azure OpenAI: <https://learn.microsoft.com/en-us/azure/foundry/openai/api-version-lifecycle>."""

from dialect import Dialect, openai_form

from .openai import OPENAI_RULES

DIALECT = Dialect(
    base="/openai/v1",
    models=("gpt-5.4", "gpt-4o"),
    error=openai_form,
    reasoning="",
    key_headers=("api-key", "authorization"),
    first_chunk={
        "choices": [],
        "created": 0,
        "id": "",
        "model": "",
        "object": "",
        "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": {}}],
    },
    responses=True,
    rules=OPENAI_RULES,
)
