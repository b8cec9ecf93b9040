"""A refresh that pushes one export of several widths."""

import pytest
import tensorflow as tf

from components.data import open_dataset, records
from tests.refresh.support import FITTING, STAGES, refresh

WIDTHS = {**FITTING, "widths": [1.0, 0.5], "round_to": 2, "calibration": 200}
SLIM = {"name": "slim", "kind": "widths", "base": "teacher", "config": WIDTHS}


@pytest.mark.full
def test_what_is_pushed_answers_in_every_width(digits_dataset, tmp_path):
    outcome = refresh(digits_dataset.path, tmp_path, stages=[STAGES[0], SLIM])

    assert outcome.status == "pushed"
    assert [stage.kind for stage in outcome.report.stages] == ["train", "widths"]
    served = tf.saved_model.load(outcome.report.push.path).signatures
    examples = next(iter(records(open_dataset(digits_dataset.path), "test", 0).batch(5)))
    for name in ("serving_default", "width_50"):
        assert served[name](examples=examples)["probabilities"].shape == (5, 10)
