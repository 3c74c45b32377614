"""How Python itself says what is wrong, in words that no refusal is to have."""

import re

PYTHONS = re.compile(
    r"\w+(Error|Exception)\b|Expecting |Extra data|not supported between|object is not|not subscriptable|not iterable"
    r"|has no attribute|codec can|invalid literal|Traceback|\(char \d"
)
