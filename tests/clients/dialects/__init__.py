"""How each provider speaks chat completions: a file each, what it takes, refuses and answers.

A file is named as the provider is in ccproxy's table, with `_` for `-`, and its `DIALECT` is found by that. A request that
the provider would refuse is refused, with its status, its form of an error and its words; any other is
answered as the script in the prompt says, in the provider's style. The rules name where they were
learned. Where nobody saw a refusal there is none; where only the limit is documented, the words are
plain.
"""

import importlib
import pkgutil

FILES = [name for _, name, _ in pkgutil.iter_modules(__path__)]
DIALECTS = {
    name.replace("_", "-"): importlib.import_module(f"{__name__}.{name}").DIALECT for name in FILES
}
