"""OpenCode Go: <https://opencode.ai/docs/go>."""

from dataclasses import replace

from dialects.opencode import DIALECT as ZEN

DIALECT = replace(ZEN, base="/zen/go/v1", models=("glm-5.3",), native="/zen/go")
