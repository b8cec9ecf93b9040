"""nlpaug on texts handed over as JSON, one at a time; WordNet and the tagger from ``NLTK_DATA``."""

import json
from pathlib import Path

import nlpaug.augmenter.char as nac
import nlpaug.augmenter.word as naw
from serve import serve, settings


def augmenters(shares):
    """Return name to the augmenter that changes the share of the words that our op changes."""

    def words(name):
        return {"aug_p": shares[name], "aug_max": None}

    def slips(name):
        return {
            "aug_word_p": shares[name],
            "aug_word_max": None,
            "aug_char_min": 1,
            "aug_char_max": 1,
        }

    return {
        "synonym_replace": naw.SynonymAug(aug_src="wordnet", **words("synonym_replace")),
        "random_swap": naw.RandomWordAug(action="swap", **words("random_swap")),
        "random_delete": naw.RandomWordAug(action="delete", **words("random_delete")),
        "misspellings": naw.SpellingAug(**words("misspellings")),
        "keyboard slips": nac.KeyboardAug(**slips("keyboard slips")),
        "scanner slips": nac.OcrAug(**slips("scanner slips")),
    }


def main():
    """Serve every augmenter over the texts of the settings' file."""
    texts = json.loads(Path(settings()["texts"]).read_text("utf-8"))

    def over_all(augmenter):
        def call():
            return sum(len(augmenter.augment(text)) for text in texts)

        return call

    work = {name: over_all(one) for name, one in augmenters(settings()["shares"]).items()}
    serve(work, ["nlpaug", "nltk"])


if __name__ == "__main__":
    main()
