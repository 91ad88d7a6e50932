"""The deployment files, as the README has them."""

import re

from lab import ROOT

BLOCK = re.compile(r"^([\w.-]+\.\w+)\b[^\n]*:\n\n```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)


def readme_files():
    """The fenced blocks of the section, by the file that the line before each names."""
    text = (ROOT / "README.md").read_text()
    section = re.search(r"^## Deploy it\n(.*?)^## ", text, re.MULTILINE | re.DOTALL)[1]
    return dict(BLOCK.findall(section))


FILES = readme_files()
