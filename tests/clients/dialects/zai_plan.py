"""The coding plan of Z.ai, which takes more words for an effort:
<https://docs.z.ai/devpack/latest-model>.
"""

from dataclasses import replace

from dialects.zai import DIALECT as ZAI

DIALECT = replace(ZAI, base="/api/coding/paas/v4", models=("glm-5.3",), search="")
