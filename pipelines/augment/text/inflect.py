"""Inflect English verbs where rules and WordNet's exception lists leave no doubt."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

VERB_FORMS = ("third", "past", "ing")
"""As in "loves", "loved" (past tense and participle alike), "loving"."""

Forms = tuple[str | None, str | None, str | None]

_VOWELS = "aeiou"


def third_person(verb: str) -> str:
    """Return the regular form of the third person, which is also a noun's regular plural."""
    if verb.endswith("y") and verb[-2:-1] not in _VOWELS:
        return verb[:-1] + "ies"
    if verb.endswith(("s", "x", "z", "ch", "sh")):
        return verb + "es"
    return verb + "s"


def verb_forms(verb: str, exceptions: Iterable[str]) -> Forms:
    """Return the verb's ``VERB_FORMS``, None for each that is in doubt.

    Args:
        verb: Infinitive.
        exceptions: Its forms in WordNet's ``verb.exc``: irregular ones, and regular ones whose
            last letter is doubled.
    """
    listed = sorted(form for form in exceptions if form.isalpha())
    ings = [form for form in listed if form.endswith("ing")]
    pasts = [form for form in listed if form not in ings and not form.endswith("s")]
    doubles = _may_double(verb)
    past: str | None = None
    if len(pasts) == 1:  # two are a tense and a participle: "went", "gone"
        past = pasts[0]
    elif not pasts and not doubles:
        past = _regular_past(verb)
    ing: str | None = None
    if len(ings) == 1:
        ing = ings[0]
    elif not ings and not doubles:
        ing = _regular_ing(verb)
    stem = verb + "e" if verb.endswith("o") else verb
    third = None if any(form.endswith("s") for form in listed) else third_person(stem)
    return third, past, ing


def inflections(
    pairs: Mapping[str, tuple[str, ...]],
    forms: Mapping[str, Forms],
    taken: Iterable[str],
) -> dict[str, tuple[str, ...]]:
    """Return form -> forms of the synonyms, for verb -> synonyms.

    A form stands for one verb and one inflection, or it is left out; so is one that is itself
    a dictionary word, such as "interesting" or "leaves".

    Args:
        pairs: Verb -> synonyms.
        forms: Verb -> what ``verb_forms`` returns.
        taken: Dictionary words.
    """
    closed = set(taken)
    seen: dict[str, int] = {}
    for inflected in forms.values():
        for form in set(inflected) - {None}:
            seen[str(form)] = seen.get(str(form), 0) + 1
    table: dict[str, tuple[str, ...]] = {}
    for verb, synonyms in pairs.items():
        for place, form in enumerate(forms.get(verb, ())):
            if form is None or form in closed or form == verb or seen[form] > 1:
                continue
            others = {forms[other][place] for other in synonyms if other in forms}
            reliable = sorted(str(other) for other in others if other is not None)
            if reliable:
                table[form] = tuple(reliable)
    return table


def _may_double(verb: str) -> bool:
    """Tell whether the last letter may double: "stop", and "visit" against "admit"."""
    return (
        len(verb) > 2
        and verb[-1] not in _VOWELS + "wxy"
        and verb[-2] in _VOWELS
        and (verb[-3] not in _VOWELS or verb[-3:-1] == "ui")
        and not verb.endswith(("en", "er", "on", "el"))
    )


def _regular_past(verb: str) -> str:
    if verb.endswith("e"):
        return verb + "d"
    if verb.endswith("y") and verb[-2:-1] not in _VOWELS:
        return verb[:-1] + "ied"
    return verb + "ed"


def _regular_ing(verb: str) -> str:
    if verb.endswith("ie"):
        return verb[:-2] + "ying"
    if verb.endswith("e") and not verb.endswith(("ee", "oe", "ye")):
        return verb[:-1] + "ing"
    return verb + "ing"
