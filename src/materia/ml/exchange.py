"""Forests as ONNX: for other programs, and for quick answers to a few rows.

The graph takes encoded rows `X`, (n, d), in double precision, a category as the place of its level
and NaN as missing. Outputs: `prediction`, (n, 1) values or (n, k) probabilities of the classes, and
`member_<i>` of the same form for each member of the ensemble. Sums run over the trees in their
order and in double precision, so that answers are scikit-learn's bit for bit.

For many rows at a time scikit-learn walks its trees faster; for one row it is about a hundred times
slower, because every call has a cost of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from materia.errors import DataError, MissingExtraError
from materia.ml import estimators
from materia.ml.ensemble import Answer
from materia.ml.schema import Schema

FloatArray = NDArray[np.float64]

MAX_NODES = 1_000_000
"""Of all trees; a conversion of ten times as many takes a minute and gigabytes."""
FEW_ROWS = 500
ROWS_COMPARED = 500
_OPSET, _ML_OPSET, _IR = 17, 5, 10  # of ml, the first with sums in double precision


class Unconverted(DataError):
    """The model has no form in ONNX that answers alike."""


def is_installed() -> bool:
    """Whether ONNX can be written and run here."""
    return all(find_spec(library) for library in ("onnx", "onnxruntime"))


def convert(members: Sequence[Any], estimator: str, schema: Schema) -> bytes:
    """Return an ensemble as an ONNX file.

    Raises:
        MissingExtraError: The extra is not installed.
        Unconverted: It is not of trees, or of too many.
    """
    if not is_installed():
        raise MissingExtraError("onnx", "a model as ONNX")
    if estimator not in estimators.FORESTS:
        raise Unconverted(f"estimator '{estimator}' is not converted, forests are")
    k = max(1, len(schema.classes))
    n_nodes = k * sum(tree.tree_.node_count for m in members for tree in m.estimators_)
    if n_nodes > MAX_NODES:
        raise Unconverted(f"{n_nodes} nodes are more than {MAX_NODES}")
    return _file(members, schema, k)


class Runner:
    """Quick answers of an ensemble to a few rows.

    Args:
        content: As of `convert`, and made here: a foreign file is not run.
    """

    def __init__(self, content: bytes, schema: Schema, n_members: int) -> None:
        self._content, self._schema, self._n = content, schema, n_members
        self._session: Any = None

    def __reduce__(self) -> tuple[Any, ...]:
        return Runner, (self._content, self._schema, self._n)

    def answers(self, X: FloatArray) -> list[Answer]:
        """Return what each member says of rows X, (n, d)."""
        if self._session is None:
            self._session = _session(self._content)
        names = [f"member_{i}" for i in range(self._n)]
        found = self._session.run(names, {"X": np.ascontiguousarray(X, float)})
        if self._schema.task == "regression":
            return [Answer(values[:, 0]) for values in found]
        return [Answer.of_classes(probabilities) for probabilities in found]


def compare(runner: Runner, members: Sequence[Any], estimator: str, X: FloatArray) -> None:
    """Raise `Unconverted` unless a runner says of rows X, (n, d), what the members say."""
    for member, found in zip(members, runner.answers(X), strict=True):
        expected = estimators.answer(member, estimator, X, runner._schema)
        own, other = expected.probabilities, found.probabilities
        if own is None or other is None:
            own, other = expected.values, found.values
        if not np.array_equal(own, other):
            raise Unconverted("its answers as ONNX differ from the model's")


def _session(content: bytes) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def _file(members: Sequence[Any], schema: Schema, k: int) -> bytes:
    from onnx import TensorProto, helper, numpy_helper

    # scikit-learn compares in single precision what it has learnt in double.
    nodes = [
        helper.make_node("Cast", ["X"], ["single"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["single"], ["rows"], to=TensorProto.DOUBLE),
    ]
    constants = [numpy_helper.from_array(np.array(float(len(members))), "n_members")]
    names = [f"member_{i}" for i in range(len(members))]
    for member, name in zip(members, names, strict=True):
        n_trees = np.array(float(len(member.estimators_)))
        constants.append(numpy_helper.from_array(n_trees, f"{name}_n"))
        nodes.append(_trees(member, schema, k, f"{name}_sum"))
        nodes.append(helper.make_node("Div", [f"{name}_sum", f"{name}_n"], [name]))
    nodes.append(helper.make_node("Sum", names, ["sum"]))
    nodes.append(helper.make_node("Div", ["sum", "n_members"], ["prediction"]))
    graph = helper.make_graph(
        nodes,
        "materia",
        [helper.make_tensor_value_info("X", TensorProto.DOUBLE, [None, len(schema.features)])],
        [
            helper.make_tensor_value_info(name, TensorProto.DOUBLE, [None, k])
            for name in ("prediction", *names)
        ],
        constants,
    )
    opsets = [helper.make_opsetid("", _OPSET), helper.make_opsetid("ai.onnx.ml", _ML_OPSET)]
    model = helper.make_model(graph, opset_imports=opsets, producer_name="materia")
    model.ir_version = _IR
    return bytes(model.SerializeToString())


def _trees(forest: Any, schema: Schema, k: int, output: str) -> Any:
    """Return the node that sums over trees: each k times, for a leaf has one target only."""
    from onnx import helper, numpy_helper

    parts = [_Arrays(tree.tree_) for tree in forest.estimators_]
    # A forest need not have seen every class.
    codes = [0] if schema.task == "regression" else [int(code) for code in forest.classes_]
    columns: dict[str, list[Any]] = {name: [] for name in _COLUMNS}
    n_inner = n_leaves = 0
    for column, target in enumerate(codes):
        for part in parts:
            columns["tree_roots"].append(np.array([n_inner]))
            for side in ("true", "false"):
                is_leaf = getattr(part, f"{side}_is_leaf")
                offset = np.where(is_leaf, n_leaves, n_inner)
                columns[f"nodes_{side}nodeids"].append(getattr(part, side) + offset)
                columns[f"nodes_{side}leafs"].append(is_leaf)
            columns["nodes_featureids"].append(part.feature)
            columns["nodes_missing_value_tracks_true"].append(part.missing_goes_left)
            columns["nodes_splits"].append(part.threshold)
            columns["leaf_weights"].append(part.values[:, column])
            columns["leaf_targetids"].append(np.full(len(part.values), target))
            n_inner, n_leaves = n_inner + len(part.feature), n_leaves + len(part.values)
    node = helper.make_node(
        "TreeEnsemble",
        ["rows"],
        [output],
        domain="ai.onnx.ml",
        n_targets=k,
        aggregate_function=1,  # sum
        post_transform=0,
    )
    for name, arrays in columns.items():
        array = np.concatenate(arrays)
        if name in ("nodes_splits", "leaf_weights"):
            tensor = numpy_helper.from_array(array.astype(float), name)
            node.attribute.append(helper.make_attribute(name, tensor))
        else:
            node.attribute.append(_integers(name, array))
    modes = numpy_helper.from_array(np.zeros(n_inner, np.uint8), "nodes_modes")  # <=
    node.attribute.append(helper.make_attribute("nodes_modes", modes))
    return node


def _integers(name: str, array: NDArray[Any]) -> Any:
    from onnx import AttributeProto

    # `make_attribute` looks at every number by itself.
    attribute = AttributeProto()
    attribute.name, attribute.type = name, AttributeProto.INTS
    attribute.ints.extend(array.astype(np.int64).tolist())
    return attribute


_COLUMNS = (
    "tree_roots",
    "nodes_featureids",
    "nodes_truenodeids",
    "nodes_trueleafs",
    "nodes_falsenodeids",
    "nodes_falseleafs",
    "nodes_missing_value_tracks_true",
    "nodes_splits",
    "leaf_weights",
    "leaf_targetids",
)


class _Arrays:
    """A tree whose inner nodes and leaves are counted apart."""

    def __init__(self, tree: Any) -> None:
        left, right, is_leaf = tree.children_left, tree.children_right, tree.children_left < 0
        self.values = tree.value[is_leaf][:, 0, :]
        if len(left) == 1:
            # A tree that is one leaf becomes a node with that leaf on both sides.
            self.feature = self.true = self.false = np.zeros(1, np.int64)
            self.threshold = np.zeros(1)
            self.true_is_leaf = self.false_is_leaf = np.ones(1, bool)
            self.missing_goes_left = np.zeros(1, bool)
            return
        place = np.where(is_leaf, np.cumsum(is_leaf), np.cumsum(~is_leaf)) - 1
        inner = ~is_leaf
        self.feature, self.threshold = tree.feature[inner], tree.threshold[inner]
        self.true, self.true_is_leaf = place[left[inner]], is_leaf[left[inner]]
        self.false, self.false_is_leaf = place[right[inner]], is_leaf[right[inner]]
        self.missing_goes_left = np.asarray(tree.missing_go_to_left, bool)[inner]
