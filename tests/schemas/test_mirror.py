"""Places of a mirror, alone and in a recipe."""

import pytest

from schemas.errors import InputError
from schemas.mirror import parse_mirror
from tests.refresh.support import recipe


@pytest.mark.parametrize(
    ("text", "scheme", "path"),
    [
        ("gs://models/digits/serving/", "gs", "models/digits/serving"),
        ("s3://models", "s3", "models"),
        ("file:///srv/models", "file", "/srv/models"),
        ("/srv/models/", "file", "/srv/models/"),
        ("with space/models", "file", "with space/models"),
        ("s3cret", "file", "s3cret"),
    ],
)
def test_places(text, scheme, path):
    found = parse_mirror(text)
    assert (found.scheme, found.path) == (scheme, path)
    assert found.url == text.rstrip("/")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "mirror is a folder, gs://BUCKET/FOLDER or s3://BUCKET/FOLDER, not ''"),
        (" models", "mirror is a folder"),
        ("a\0b", "mirror is a folder"),
        ("ftp://host/models", "unknown scheme of a mirror 'ftp'"),
        ("gss://models", "Did you mean 'gs'"),
        ("gs:models/x", "two slashes after the colon"),
        ("s3:///x", "mirror is s3://BUCKET/FOLDER"),
        ("s3://models//x", "mirror is s3://BUCKET/FOLDER"),
        ("s3://models/../x", "mirror is s3://BUCKET/FOLDER"),
        ("file://models", "three slashes"),
        ("~/models", "write out the home folder"),
    ],
)
def test_nonsense_is_refused_with_the_place_in_the_recipe(text, message):
    with pytest.raises(InputError, match=message.replace("?", r"\?")):
        parse_mirror(text)
    with pytest.raises(InputError, match=f"refresh.mirror.*{message}"):
        recipe(mirror=text)


@pytest.mark.parametrize(
    "text", ["s3://key:pass@models/x", "gs://models/x?token=pass", "gs://models/x#pass"]
)
def test_credentials_are_refused_and_not_shown(text):
    with pytest.raises(InputError, match="let the environment name the credentials") as refused:
        parse_mirror(text)
    assert "pass" not in str(refused.value)


def test_every_profile_has_the_mirror_of_the_recipe():
    refresh = recipe(mirror="gs://models/digits").recipe.refresh
    assert refresh.for_profile("smoke").mirror == "gs://models/digits"
    assert recipe().recipe.refresh.for_profile("full").mirror is None
