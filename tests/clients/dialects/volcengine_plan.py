"""The coding plan of Volcengine Ark: <https://www.volcengine.com/article/38136>."""

from dataclasses import replace

from dialects.volcengine import DIALECT as ARK

DIALECT = replace(
    ARK, base="/api/coding/v3", models=("ark-code-latest",), native="/api/coding"
)
