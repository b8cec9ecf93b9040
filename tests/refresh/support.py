"""Small refreshes on real digits."""

from pipelines.refresh import run_refresh
from schemas.recipe import load_recipe, parse_recipe

FITTING = {"epochs": 1, "batch_size": 64, "learning_rate": 0.05, "copies": 1}
STAGES = [
    {"name": "teacher", "kind": "train", "config": {**FITTING, "model": {"width": 4}}},
    {
        "name": "student",
        "kind": "distill",
        "teacher": "teacher",
        "config": {**FITTING, "model": {"width": 4}},
    },
]


def recipe(*, accuracy=0.05, size=10_000_000, seed=1, stages=STAGES, policy=None, **sections):
    """Return the digits recipe with one copy, a smaller dataset and the given refresh."""
    digits = load_recipe("digits").content
    content = {
        **digits,
        "policy": policy or digits["policy"],
        "copies": 1,
        "seed": seed,
        "refresh": {
            "model": "image_resnet",
            "stages": stages,
            "push": stages[-1]["name"],
            "gates": {"floors": {"accuracy": accuracy}, "ceilings": {"bytes": size}},
            "robustness": {"examples": 10, "severities": [3], "families": ["fog", "spatter"]},
            **sections,
        },
    }
    return parse_recipe(content, origin="digits, for tests")


class Watch:
    """A progress callback that remembers states, and can act when a node says something."""

    def __init__(self, node=None, action=None):
        self.states = {}
        self._node, self._action = node, action

    def __call__(self, event):
        self.states[event.node] = event.state
        if event.node == self._node and event.line:
            self._action()


def refresh(dataset, root, watch=None, **settings):
    """Run a refresh; ``settings`` as in `recipe`."""
    return run_refresh(
        recipe=recipe(**settings).recipe,
        dataset_dir=dataset,
        root=root,
        profile="smoke",
        progress=watch or Watch(),
    )
