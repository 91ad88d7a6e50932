"""Gemini in Vertex AI: <https://cloud.google.com/vertex-ai/generative-ai/docs/migrate/openai/overview>."""

from dataclasses import replace

from dialects.gemini import DIALECT as GEMINI

DIALECT = replace(
    GEMINI,
    base="/v1/projects/p/locations/global/endpoints/openapi",
    models=("google/gemini-3.8-flash",),
)
