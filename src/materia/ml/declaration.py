"""What a search asks for, checked without loading a library that learns."""

from __future__ import annotations

import json
from typing import Any

from materia.errors import DefinitionError
from materia.ml import grid, parameters
from materia.ml.config import ModelConfig, TrainingConfig, parse_config
from materia.ml.splitting import MAX_FOLDS


def read_search(
    param_grid: Any, model_config: Any, cv: Any, strategy: Any, n_iter: Any
) -> ModelConfig:
    """Return what all trials have in common; arguments as of `search.plan_search`.

    Raises:
        DefinitionError: A name or a value is wrong, or there are too many trials.
    """
    if type(cv) is not int or not 2 <= cv <= MAX_FOLDS:
        raise DefinitionError(f"cv: must be a whole number from 2 to {MAX_FOLDS}", path="cv")
    config = parse_config({} if model_config is None else model_config, is_light=True)
    seen: set[str] = set()
    grid.check_strategy(strategy)
    if strategy == "materia":
        grid.check_count(n_iter, grid.MAX_PROPOSED)
        trials = grid.probes(grid.space(param_grid))
    else:
        seed = config.training.seed
        trials = grid.expand(param_grid, strategy=strategy, n_iter=n_iter, seed=seed)
    for i, trial in enumerate(trials):
        params = {**config.params, **trial}
        name = params.pop("estimator", config.training.estimator)
        for key, value in params.items():
            mark = json.dumps([name, key, value], default=repr)
            # A grid repeats the same few values; keys of ours in a trial are told by the worker.
            if mark not in seen and key not in TrainingConfig.model_fields:
                seen.add(mark)
                _check(name, config, {key: value}, i)
        if not params:
            _check(name, config, {}, i)
    return config


def _check(name: Any, config: ModelConfig, params: dict[str, Any], trial: int) -> None:
    path = f"param_grid[{trial}]"
    parameters.check(str(name), config.training.task, params, path, own=TrainingConfig)
