"""Kimi Code, the plan of Moonshot AI:
<https://www.kimi.com/code/docs/en/third-party-tools/other-coding-agents.html>.
"""

from dataclasses import replace

from dialects.moonshot import DIALECT as MOONSHOT

DIALECT = replace(
    MOONSHOT, base="/coding/v1", models=("kimi-for-coding",), native="/coding"
)
