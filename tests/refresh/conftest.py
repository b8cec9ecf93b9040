import pytest

from pipelines.dataset.materialize import materialize
from pipelines.dataset.plan import make_plan
from tests.refresh.support import recipe


@pytest.fixture(scope="package")
def dataset(tmp_path_factory):
    """A materialized dataset of 1,797 digits, one augmented copy."""
    plan = make_plan(recipe(), str(tmp_path_factory.mktemp("data")))
    return materialize(plan).path
