"""BytePlus ModelArk, Volcengine's for the rest of the world:
<https://docs.byteplus.com/en/docs/ModelArk/1330626>.
"""

from dataclasses import replace

from dialects.volcengine import DIALECT as ARK

DIALECT = replace(
    ARK, models=("deepseek-v4-pro-ga-260813", "dola-seed-2-1-turbo-260628"), native=None
)
