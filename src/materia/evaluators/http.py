"""Evaluator `http`: a service of the lab answers, such as a simulation or an instrument."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import time
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from materia import settings
from materia.errors import AccessError, DataError, EvaluationError, TransientError
from materia.evaluators.base import Evaluation, Evaluator, Options, error_at, warning_at
from materia.evaluators.places import Places
from materia.mdl.definition import Definition
from materia.mdl.finding import Finding
from materia.outbound import exchange
from materia.outbound.addresses import Allowed

TOKEN_PREFIX = "MATERIA_EVALUATOR_TOKEN_"
LAB = ("127.0.0.0/8", "::1", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")
PASSING = {408, 425, 429, 500, 502, 503, 504}
"""Statuses that waiting can heal."""
PAUSES_S = (0.5, 2.0)
"""Before the second and the third try; a longer outage is waited for by the job."""
MAX_METADATA_BYTES = 64 * 1024


def _service(url: str) -> str:
    try:
        exchange.split(url)
    except DataError as error:
        raise ValueError(
            f"{error.message}; {error.hint}" if error.hint else error.message
        ) from None
    return url


def _token_name(name: str | None) -> str | None:
    if name is not None and not re.fullmatch(r"[A-Za-z0-9_]{1,64}", name):
        raise ValueError("must be the name of a token, 1 to 64 letters, digits and '_'")
    return name


class HttpOptions(Options):
    """Options of the evaluator `http`."""

    url: Annotated[str, AfterValidator(_service)] = Field(
        max_length=2048, description="address of the service, such as http://localhost:9000/measure"
    )
    timeout_s: float = Field(60.0, gt=0, le=86400, description="longest wait for an answer")
    token: Annotated[str | None, AfterValidator(_token_name)] = Field(
        None, description="name of the token that is sent along"
    )


class HttpEvaluator(Evaluator):
    """Posts the params of a candidate to a service and reads its outcomes from the answer."""

    options_model = HttpOptions
    is_random = True

    def __init__(self, definition: Definition, options: HttpOptions, places: Places) -> None:
        super().__init__(definition, options, places)
        self._allowed = _allowed()
        self._headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if options.token is not None:
            secret = os.environ.get(TOKEN_PREFIX + options.token.upper(), "")
            self._headers["Authorization"] = f"Bearer {secret}"

    @classmethod
    def findings(
        cls, definition: Definition, options: HttpOptions, places: Places
    ) -> list[Finding]:
        """Check that the service may be reached; whether it answers is seen later."""
        findings = []
        try:
            exchange.reachable(options.url, _allowed())
        except TransientError as error:
            findings.append(warning_at("evaluator.options.url", error.message, error.hint))
        except AccessError as error:
            findings.append(error_at("evaluator.options.url", error.message, error.hint))
        if options.token is not None:
            variable = TOKEN_PREFIX + options.token.upper()
            if variable not in os.environ:
                message = f"there is no token '{options.token}'"
                fix = f"set {variable} in the environment of whoever evaluates"
                findings.append(error_at("evaluator.options.token", message, fix))
        return findings

    def evaluate(self, params: Mapping[str, Any], *, seed: int) -> Evaluation:
        """Return what the service answers.

        Raises:
            EvaluationError: It refused this candidate, or its answer cannot be used.
            TransientError: It cannot be reached, or is too busy.
            AccessError: It may not be reached.
        """
        asked = {"params": dict(params), "objectives": self.objective_names, "seed": seed}
        content = json.dumps(asked, allow_nan=False, sort_keys=True).encode()
        # The same at every attempt, so that a service can answer again without working again.
        key = hashlib.sha256(self.options.url.encode() + content).hexdigest()[:32]
        headers = {**self._headers, "Idempotency-Key": key}
        for pause_s in PAUSES_S:
            try:
                return self._asked(content, headers)
            except TransientError:
                time.sleep(pause_s)
        return self._asked(content, headers)

    def _asked(self, content: bytes, headers: Mapping[str, str]) -> Evaluation:
        url, timeout_s = self.options.url, self.options.timeout_s
        try:
            answer = exchange.post(
                url, content, headers, allowed=self._allowed, timeout_s=timeout_s
            )
        except exchange.OutOfTimeError:
            raise EvaluationError(
                f"no answer from {url} within {timeout_s:g} s", "raise the option timeout_s"
            ) from None
        except DataError as error:
            raise EvaluationError(error.message, error.hint) from None
        if answer.status in PASSING:
            raise TransientError(f"{url} answered with status {answer.status}: {_said(answer)}")
        if 300 <= answer.status < 400:
            raise EvaluationError(
                f"{url} answered with status {answer.status}; redirects are not followed",
                "name the address that it points to",
            )
        if answer.status != 200:
            raise EvaluationError(f"{url} answered with status {answer.status}: {_said(answer)}")
        return self._read(answer.body)

    def _read(self, body: bytes) -> Evaluation:
        try:
            told = json.loads(body)
        except ValueError:
            raise EvaluationError(f"the answer is not JSON: {body[:200]!r}", EXPECTED) from None
        if not isinstance(told, dict):
            raise EvaluationError("the answer is no JSON object", EXPECTED)
        if told.get("error"):
            raise EvaluationError(f"the service says: {str(told['error'])[:500]}")
        outcomes = told.get("outcomes")
        if not isinstance(outcomes, dict):
            raise EvaluationError("the answer has no object 'outcomes'", EXPECTED)
        metadata = told.get("metadata", {})
        if not isinstance(metadata, dict) or len(json.dumps(metadata)) > MAX_METADATA_BYTES:
            limit = MAX_METADATA_BYTES // 1024
            raise EvaluationError(f"'metadata' is no object of at most {limit} KB", EXPECTED)
        values: dict[str, float] = {}
        errors: dict[str, float] = {}
        for name in self.objective_names:
            if name not in outcomes:
                there = ", ".join(map(str, list(outcomes)[:10])) or "none"
                raise EvaluationError(f"the answer has no '{name}'; it has: {there}", EXPECTED)
            value, error = _number(name, outcomes[name])
            values[name] = value
            if error is not None:
                errors[name] = error
        return Evaluation(values, dict(metadata), errors)


EXPECTED = 'answer {"outcomes": {objective: number, or [mean, standard error]}}'


def _number(name: str, told: Any) -> tuple[float, float | None]:
    pair = told if isinstance(told, list) and len(told) == 2 else [told, None]
    is_number = [isinstance(one, int | float) and not isinstance(one, bool) for one in pair]
    if not is_number[0] or not (is_number[1] or pair[1] is None):
        raise EvaluationError(f"'{name}' is {json.dumps(told)[:100]}, not a number", EXPECTED)
    value, error = float(pair[0]), None if pair[1] is None else float(pair[1])
    if not math.isfinite(value) or (error is not None and not 0 <= error < math.inf):
        raise EvaluationError(
            f"'{name}' is {json.dumps(told)[:100]}, which is not finite", EXPECTED
        )
    return value, error


def _said(answer: exchange.Answer) -> str:
    return answer.body[:200].decode("utf-8", "replace").strip() or "nothing more"


def _allowed() -> Allowed:
    """Return what may be reached besides public addresses.

    On a laptop the local network may be, as whoever writes the definition runs it. In production
    definitions come from other people, and the admin says what they may reach.
    """
    current = settings.current()
    entries = current.evaluator_allow_hosts.split(",")
    if current.environment == "development":
        entries += LAB
    return Allowed.of(entries)
