"""Keep what tests translate away from the user's cache."""

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def session_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BEAM_REFINERY_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield
