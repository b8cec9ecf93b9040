"""Remove words that do grammar's work, but never one that turns a statement round.

Published stop lists (EDA's, NLTK's) hold "no", "nor" and "not", and words that change how strong
a statement is ("very", "too", "most", "but"). This list is made from closed word classes instead:
articles, prepositions, pronouns, auxiliary verbs, and the conjunctions that only add.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipelines.augment.params import Seed, Uniform
from pipelines.augment.registry import text_op
from pipelines.augment.text.choose import choose_words
from pipelines.augment.text.edit import without
from pipelines.augment.text.negation import is_protected
from pipelines.augment.text.tokenize import Tokens, is_compound

STOP_WORDS: dict[str, frozenset[str]] = {
    kind: frozenset(words.split())
    for kind, words in {
        "article": "a an the",
        "preposition": "about after along among around as at before behind below between beyond "
        "by during for from in inside into near of off on onto over per since through throughout "
        "to toward towards under until upon via with within",
        "pronoun": "he her hers herself him himself his i it its itself me my mine myself one's "
        "our ours ourselves she their theirs them themselves they us we you your yours yourself "
        "this that these those who whom whose which what i'm i've i'll i'd he's she's it's we're "
        "we've they're they've you're you've that's there's",
        "auxiliary": "am are be been being did do does had has have having is was were will shall",
        "conjunction": "and because or so than then there when where while",
    }.items()
}
"""Word class -> words in lower case. No negation, no intensifier, no word of contrast or doubt."""

ALL = frozenset().union(*STOP_WORDS.values())


def is_removable(tokens: Tokens, index: int) -> bool:
    """Tell whether the stop word at ``index`` (odd) may go."""
    return not is_compound(tokens, index) and not is_protected(tokens, index)


@text_op(
    "stopword_removal",
    family="edit",
    version=1,
    params={
        "rate": Uniform(low=0.3, high=0.3, identity=0.0, limits=(0.0, 1.0)),
        "seed": Seed(),
    },
)
def stopword_removal(
    documents: Sequence[Tokens], *, rate: NDArray[np.float64], seed: NDArray[np.int64]
) -> tuple[list[Tokens], NDArray[np.int64]]:
    """Remove a share of the stop words, never a negation or what it refers to.

    ``rate`` is the share of the stop words (about 45 % of a review's words); 1 removes all but
    those that stand in quotes, in hyphenated words, in the scope of a negation, or alone.
    """
    edited = []
    edits = np.zeros(len(documents), dtype=np.int64)
    choices = choose_words(documents, rate=rate, seed=seed)
    for row, (tokens, chosen) in enumerate(zip(documents, choices, strict=True)):
        stops = [index for index, _ in chosen if tokens[index] in ALL]
        result = without(tokens, stops, may_go=is_removable)
        edited.append(result)
        edits[row] = (len(tokens) - len(result)) // 2
    return edited, edits
