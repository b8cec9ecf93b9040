"""The equality proof on large published architectures with random weights."""

import keras
import numpy as np
import pytest

from components.prune import Limits, channel_graph, choose, mask, recalibrate, scores, shrink
from components.prune.surgery import prove_equal, random_inputs

NAMES = ["MobileNetV2", "ResNet50", "EfficientNetB0"]
SIDE = 64


@pytest.mark.full
@pytest.mark.parametrize("name", NAMES)
def test_surgery_is_exact(name, record_property):
    keras.utils.set_random_seed(0)
    model = getattr(keras.applications, name)(
        weights=None, input_shape=(SIDE, SIDE, 3), classes=10, classifier_activation=None
    )
    # Fresh statistics let the answers shrink to 1e-13, where any two networks agree.
    recalibrate(model, [random_inputs(model, seed=9, examples=32)])
    graph = channel_graph(model)
    removed = choose(
        graph,
        scores(model, graph, "random", seed=1),
        ratio=0.5,
        limits=Limits(floor=0.1, round_to=4),
    )
    small, masked = shrink(model, graph, removed), mask(model, graph, removed)
    inputs = random_inputs(model, seed=3, examples=8)
    whole, silent = (np.asarray(one(inputs, training=False)) for one in (model, masked))
    difference = prove_equal(masked, small, seed=3, examples=8)
    record_property("largest_difference", difference)
    print(f"{name}: largest difference {difference:.1e}, answers up to {np.abs(silent).max():.2f}")

    assert graph.frozen_by == {}
    assert len(removed) > 0.45 * len(graph.prunable())
    assert small.count_params() < 0.35 * model.count_params()
    assert np.abs(silent).max() > 0.1
    assert np.abs(whole - silent).max() > 0.1
    assert difference < 1e-5
