"""Gemini in Vertex AI: <https://cloud.google.com/vertex-ai/generative-ai/docs/migrate/openai/overview>."""

from dataclasses import replace

from dialects.gemini import DIALECT as GEMINI
from dialects.gemini import GEMINI_FIELDS, UNKNOWN
from rules import known_fields

DIALECT = replace(
    GEMINI,
    base="/v1/projects/p/locations/global/endpoints/openapi",
    models=("google/gemini-3.8-flash",),
    # "Corresponds to the GoogleSearch tool"
    rules=(known_fields(f"{GEMINI_FIELDS} web_search_options", UNKNOWN), *GEMINI.rules[1:]),
    search="options",
)
