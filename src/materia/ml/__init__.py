"""Learning from tables: data in, partitions trained and scored apart, one model file out.

reading.py, schema.py, dataset.py   files to numbers, with types, categories and missing values
config.py, estimators.py            what the user may set, and what learns
splitting.py, metrics.py            which rows nobody may learn from, and how well they are met
training.py, ensemble.py            partitions trained one by one, and their common answer
forests.py, boosting.py             forests grown faster, and boosted trees of LightGBM
grid.py, ranges.py, search.py       trials of hyper-parameters, scored on shared folds
proposals.py                        trials that the engine proposes from scores of earlier ones
model_file.py, formats.py           a stored model, read without running anything it holds
trees.py                            trees of a file checked before they are walked
conversion.py                       forests trained elsewhere
exchange.py                         forests as ONNX, exact and quick for few rows
prediction.py                       batch files to files of predictions

Functions that do one item (`train_partition`, `score_item`, `predict_batch`) are importable by
name and pure, so that they may run in any process; others plan the items and combine the answers.
"""

from importlib.util import find_spec

from materia.errors import MissingExtraError

if not all(find_spec(library) for library in ("polars", "sklearn", "skops")):
    raise MissingExtraError("ml", "learning from tables")
