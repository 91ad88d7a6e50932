"""The coding plan of BytePlus ModelArk: <https://docs.byteplus.com/en/docs/ModelArk/1928261>."""

from dialects.volcengine_plan import DIALECT

__all__ = ["DIALECT"]
