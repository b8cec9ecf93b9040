"""Which words no text op may touch: negations, and the words they may negate.

Removing a "not", or parting it from its verb or adjective, turns a review's label into a lie. So
every text op leaves a *protected* word where and as it is. Protected are

* each negation: "not", "no", "never", every "n't" form (also written "dont"), "hardly",
  "without", ..., and the verbs that deny their object ("lacks", "fails");
* the word before it ("was not"); and
* up to four words after it in the same clause ("not a very good film").
"""

from __future__ import annotations

from functools import lru_cache

from pipelines.augment.text.tokenize import Tokens, ends_clause

SCOPE = 4
"""How many words after a negation it may negate."""

_BARE_CONTRACTIONS = (
    "aint arent cant couldnt didnt doesnt dont hadnt hasnt havent isnt mustnt neednt shouldnt "
    "wasnt werent wont wouldnt"
)
NEGATIONS = frozenset(
    "not no non never neither nor nothing nobody none nowhere without cannot nope nah nay "
    "hardly barely scarcely rarely seldom unless lack lacks lacked lacking fail fails failed "
    f"failing {_BARE_CONTRACTIONS}".split()
)
"""The negations in lower case; every word with "n't" in it is one too."""


@lru_cache(maxsize=1 << 16)
def is_negation(word: str) -> bool:
    """Tell whether ``word`` denies something, in any letter case, with either apostrophe."""
    lowered = word.lower()
    return lowered in NEGATIONS or "n't" in lowered or "n’t" in lowered


def is_protected(tokens: Tokens, index: int) -> bool:
    """Tell whether the word at ``index`` (odd) is a negation or stands in the scope of one."""
    first = max(index - 2 * SCOPE, 1)
    if not any(map(is_negation, tokens[first : index + 3 : 2])):
        return False  # nearly always: no negation anywhere near
    if is_negation(tokens[index]):
        return True
    following = tokens[index + 2 : index + 3]
    if following and is_negation(following[0]) and not ends_clause(tokens[index + 1]):
        return True
    for earlier in range(index - 2, first - 1, -2):
        if ends_clause(tokens[earlier + 1]):
            return False
        if is_negation(tokens[earlier]):
            return True
    return False
