"""textaugment's EDA on texts handed over as JSON, one at a time; WordNet from ``NLTK_DATA``."""

import json
from pathlib import Path

import nltk
from serve import serve, settings

nltk.download = lambda *_, **__: True  # the library asks for corpora that are there already
from textaugment import EDA  # noqa: E402


def functions(shares):
    """Return name to the function that changes about as many words of a text as our op changes."""
    eda = EDA()

    def times(text, name):
        return max(1, round(len(text.split()) * shares[name]))

    def replace(text):
        return eda.synonym_replacement(text, times(text, "synonym_replace"))

    def insert(text):
        return eda.random_insertion(text, times(text, "random_insert"))

    def swap(text):
        return eda.random_swap(text, times(text, "random_swap"))

    def delete(text):
        return eda.random_deletion(text, p=shares["random_delete"])

    return {
        "synonym_replace": replace,
        "random_insert": insert,
        "random_swap": swap,
        "random_delete": delete,
        "eda": lambda text: delete(swap(insert(replace(text)))),
    }


def main():
    """Serve every function over the texts of the settings' file."""
    texts = json.loads(Path(settings()["texts"]).read_text("utf-8"))

    def over_all(function):
        def call():
            return len([function(text) for text in texts])

        return call

    work = {name: over_all(one) for name, one in functions(settings()["shares"]).items()}
    serve(work, ["textaugment", "nltk"])


if __name__ == "__main__":
    main()
