"""The coding plan of Alibaba: <https://www.alibabacloud.com/help/en/model-studio/coding-plan>."""

from dataclasses import replace

from dialects.dashscope import DIALECT as DASHSCOPE

DIALECT = replace(DASHSCOPE, base="/v1", models=("qwen3.7-max",), search="")
