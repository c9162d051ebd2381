"""What can be done with models, their training and datasets; the same for both clients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from materia.client.nouns import JSON, Noun, as_json, key_of, submission
from materia.client.steps import Call, got, one_page, sent
from materia.errors import DataError, NotFoundError

PREDICTION = "tasks.ml_tasks.batch_predictions"
TRAINING = "tasks.ml_tasks.distributed_training"


class Models(Noun):
    """Trained models of a server."""

    path = "/models"

    def list(self, *, name: str | None = None, limit: int = 50, cursor: str | None = None) -> Any:
        """Return a page of models, newest first: ``{items, next_cursor, total}``."""
        return self._run(one_page(self.path, name=name, limit=limit, cursor=cursor))

    def get(self, model_id: str) -> Any:
        """Return one model with its card.

        Args:
            model_id: Its id, or the name of a retrained model for the one in use.
        """
        return self._run(got(self._at(model_id)))

    def delete(self, model_id: str) -> Any:
        """Delete a model with its file and return it as it was.

        Raises:
            StateError: It is in use.
        """
        return self._run(sent(Call("DELETE", self._at(model_id))))

    def train(
        self,
        dataset_path: str,
        model_config: Mapping[str, Any] | None = None,
        *,
        idempotency_key: str | None = None,
    ) -> Any:
        """Submit a training; returns ``task_id`` and links, its result names the model."""
        kwargs = {"dataset_path": dataset_path, "model_config": dict(model_config or {})}
        return self._run(submission(TRAINING, kwargs, idempotency_key))

    def predict(
        self,
        model_id: str,
        data_batches: Sequence[str],
        *,
        idempotency_key: str | None = None,
        **options: Any,
    ) -> Any:
        """Submit predictions of files; returns ``task_id`` and links.

        Args:
            model_id: As of `get`.
            data_batches: Paths below the data root.
            options: output_dir, output_format, id_column.
        """
        kwargs = {"model_id": model_id, "data_batches": [*data_batches], **options}
        return self._run(submission(PREDICTION, kwargs, idempotency_key))


class Datasets(Noun):
    """Tables that tasks of a server may read."""

    path = "/datasets"

    def list(self, *, limit: int = 50, cursor: str | None = None) -> Any:
        """Return a page of datasets by path: ``{items, next_cursor, total}``.

        Rows and types are those of the last look at each, None before the first.
        """
        return self._run(one_page(self.path, limit=limit, cursor=cursor))

    def get(self, dataset_path: str, *, delimiter: str = ",") -> Any:
        """Return what is in a dataset: columns, rows, and what would be learnt from it."""
        return self._run(got(self._at(dataset_path), delimiter=delimiter))

    def upload(
        self,
        file: Path | str,
        dataset_path: str | None = None,
        *,
        replace: bool = False,
        delimiter: str = ",",
        idempotency_key: str | None = None,
    ) -> Any:
        """Send a table and return what is in it, as `get` does.

        Args:
            file: CSV, gzipped CSV or Parquet; of any size, it is read piece by piece.
            dataset_path: Where it will be, below the data root; the name of the file if None.
            replace: Whether it may take the place of another dataset.
            delimiter: Of CSV.

        Raises:
            ConflictError: There is another dataset of this path.
            DataError: It is no table, or no file; says why.
            NotFoundError: There is no such file here.
        """
        source = Path(file)
        if not source.exists():
            raise NotFoundError(f"there is no file {str(file)!r}", "name a file of this machine")
        if not source.is_file():
            fix = "send a folder part by part, each under a path such as 'orders/part-1.csv'"
            raise DataError(f"{str(file)!r} is not an ordinary file", fix)
        if not source.stat().st_size:
            raise DataError(f"{str(file)!r} is empty", "a table has a header and rows")
        params = {
            "path": dataset_path or source.name,
            "replace": "true" if replace else None,
            "delimiter": delimiter,
        }
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Length": str(source.stat().st_size),
            **key_of(idempotency_key),
        }
        given = {name: value for name, value in params.items() if value is not None}
        return self._run(sent(Call("POST", self.path, given, headers=headers, file=source)))

    def delete(self, dataset_path: str) -> Any:
        """Delete a dataset that was sent to the server, with its file, and return it as it was.

        Raises:
            NotFoundError: There is no such dataset.
            StateError: It was not sent there, or something needs it.
        """
        return self._run(sent(Call("DELETE", self._at(dataset_path))))


class Retrainings(Noun):
    """Models that are trained again, and replaced when a better one is found."""

    path = "/retrainings"

    def create(
        self,
        name: str,
        dataset_path: str,
        model_config: Mapping[str, Any] | None = None,
        *,
        idempotency_key: str | None = None,
        **fields: Any,
    ) -> Any:
        """Add a model to retrain and return the entry.

        Args:
            name: Of the model: letters, digits, ``_`` and ``-``, at most 90.
            dataset_path: What it learns from; may come later.
            model_config: As a training takes it.
            fields: metric, is_daily, is_enabled, channel.

        Raises:
            DefinitionError: Something does not fit.
            ConflictError: There is one of this name.
        """
        body = {"name": name, "dataset_path": dataset_path, "model_config": model_config or {}}
        content = as_json({**body, **fields})
        headers = {**JSON, **key_of(idempotency_key)}
        return self._run(sent(Call("POST", self.path, content=content, headers=headers)))

    def list(self, *, limit: int = 50, cursor: str | None = None) -> Any:
        """Return a page of entries by name: ``{items, next_cursor, total}``."""
        return self._run(one_page(self.path, limit=limit, cursor=cursor))

    def get(self, name: str) -> Any:
        """Return one entry."""
        return self._run(got(self._at(name)))

    def change(self, name: str, **values: Any) -> Any:
        """Change fields of an entry and return it; the model in use stays."""
        call = Call("PATCH", self._at(name), content=as_json(values), headers=JSON)
        return self._run(sent(call))

    def delete(self, name: str) -> Any:
        """Delete an entry with its history and return it as it was; its models stay."""
        return self._run(sent(Call("DELETE", self._at(name))))

    def run(self, name: str, *, idempotency_key: str | None = None) -> Any:
        """Train it again now; returns ``task_id`` and links."""
        call = Call("POST", self._at(name, "/run"), headers=key_of(idempotency_key))
        return self._run(sent(call))

    def runs(self, name: str, *, limit: int = 50, cursor: str | None = None) -> Any:
        """Return a page of trainings with the scores of both models, newest first."""
        return self._run(one_page(self._at(name, "/runs"), limit=limit, cursor=cursor))
