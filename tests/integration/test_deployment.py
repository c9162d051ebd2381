"""`scripts/deploy-celery.sh` against a real sshd; only `docker` on the host is a stand-in.

The stand-in notes what it was asked and what it was given. `compose up` starts a stack of ours, and
`compose exec` runs its command beside it, so that the ping of the script is a real one.
"""

from __future__ import annotations

import getpass
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from materia.stack import state
from servers import die_with_tests, free_port, is_alive, wait_until

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "deploy-celery.sh"
SSHD_PATH = "/usr/sbin:/sbin:/usr/local/sbin:/usr/bin"

DOCKER = '''#!{python}
"""Stands for docker on the host."""
import json, os, pathlib, subprocess, sys
home = pathlib.Path({home!r})
arguments = sys.argv[1:]
with (home / "asked.jsonl").open("a") as file:
    file.write(json.dumps(arguments) + "\\n")
def secrets():
    lines = pathlib.Path(".env.celery").read_text().split()
    return dict(line.split("=", 1) for line in lines)
if arguments[:2] == ["compose", "up"] and not (home / "pid").exists():
    clean = {{k: v for k, v in os.environ.items() if not k.startswith("MATERIA_")}}
    with (home / "stack.log").open("ab") as log:
        stack = subprocess.Popen(
            [{materia!r}, "up", "--data-dir", str(home / "data"), "--port", "{port}"],
            env=clean | {{"MATERIA_API_KEY": secrets()["MATERIA_API_KEY"]}},
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )
    (home / "pid").write_text(str(stack.pid))
elif arguments[:2] == ["compose", "exec"]:
    told = subprocess.run(
        [{materia!r}, "status", "--json", "--data-dir", str(home / "data")], capture_output=True
    )
    found = json.loads(told.stdout)
    if arguments[-1] == "true":
        sys.exit(not found["ready"])
    given = dict(a.split("=", 1) for a in arguments if a.startswith("WAIT_S="))
    given |= {{"MATERIA_CHECK_URL": "http://127.0.0.1:{port}"}}
    given |= {{"MATERIA_BROKER_URL": found["broker_url"]}}
    given |= {{"MATERIA_RESULT_BACKEND": found["result_backend"]}}
    command = arguments[arguments.index("/opt/entrypoint") + 1:]
    entrypoint = ["deploy/entrypoint", {python!r}, *command[1:]]
    os.execve({python!r}, [{python!r}, *entrypoint], os.environ | secrets() | given)
'''


class Host:
    """A host to deploy to: a home folder behind an sshd."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.home.mkdir(parents=True)
        self.port, self.api_port = free_port(), free_port()
        self.deployment = self.home / "materia"
        self._folder = folder
        self._sshd: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Make keys, and start an sshd that lets the own user in with them."""
        program = shutil.which("sshd", path=SSHD_PATH)
        assert program, (
            "sshd is not there (apt-get install openssh-server); scripts/test without arguments "
            "installs it where it runs as root with apt-get"
        )
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        for name in ("host", "user"):
            path = self._folder / name
            subprocess.run(["ssh-keygen", "-qt", "ed25519", "-N", "", "-f", path], check=True)
        self._install_docker()
        config = [
            f"ListenAddress 127.0.0.1:{self.port}",
            f"HostKey {self._folder / 'host'}",
            f"AuthorizedKeysFile {self._folder / 'user.pub'}",
            f"PidFile {self._folder / 'sshd.pid'}",
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            "StrictModes no",
            "UsePAM no",
            "PermitRootLogin prohibit-password",
            # The session begins in the user's own home: the script's folder is absolute.
            f"SetEnv PATH={self._folder / 'bin'}:{os.environ['PATH']}",
        ]
        (self._folder / "sshd_config").write_text("\n".join(config) + "\n")
        with (self._folder / "sshd.log").open("wb") as log:
            self._sshd = subprocess.Popen(
                [program, "-D", "-e", "-f", self._folder / "sshd_config"],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                preexec_fn=die_with_tests(signal.SIGKILL),
            )
        wait_until(self._listens, "sshd listens")

    def _install_docker(self) -> None:
        docker = self._folder / "bin" / "docker"
        docker.parent.mkdir()
        materia = str(Path(sys.executable).with_name("materia"))
        given = {"python": sys.executable, "materia": materia, "port": self.api_port}
        docker.write_text(DOCKER.format(home=str(self.home), **given))
        docker.chmod(0o755)

    def _listens(self) -> bool:
        assert self._sshd is not None
        assert self._sshd.poll() is None, (self._folder / "sshd.log").read_text()
        return "Server listening" in (self._folder / "sshd.log").read_text()

    def deploy(self, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run the script."""
        known = self._folder / "known_hosts"
        options = f"-p {self.port} -i {self._folder / 'user'} -F none -o IdentitiesOnly=yes"
        options += f" -o UserKnownHostsFile={known} -o StrictHostKeyChecking=accept-new"
        return subprocess.run(
            [SCRIPT, f"{getpass.getuser()}@127.0.0.1", str(self.deployment)],
            env={**os.environ, "SSH_OPTIONS": options, "WAIT_S": "120", **variables},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def asked(self) -> list[list[str]]:
        """Return what docker was asked so far."""
        return [json.loads(line) for line in (self.home / "asked.jsonl").read_text().splitlines()]

    def secrets(self) -> dict[str, dict[str, str]]:
        """Return the secrets of every file."""
        files = [self.deployment / f".env.{name}" for name in ("celery", "redis", "postgres")]
        for file in files:
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
        return {
            file.name: dict(line.split("=", 1) for line in file.read_text().splitlines())
            for file in files
        }

    def stop(self) -> None:
        """End the sshd and the stack."""
        if self._sshd is not None:
            self._sshd.kill()
            self._sshd.wait()
        pid = self.home / "pid"
        if pid.exists() and is_alive(int(pid.read_text())):
            os.kill(int(pid.read_text()), signal.SIGTERM)
            wait_until(lambda: not is_alive(int(pid.read_text())), "the stack has ended")


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    host = Host(tmp_path_factory.mktemp("host"))
    try:
        host.start()
        yield host
    finally:
        host.stop()


@pytest.fixture(scope="module")
def deployed(host: Host) -> tuple[Host, dict[str, dict[str, str]], Any]:
    """Deploy to an empty host."""
    told = host.deploy()
    assert told.returncode == 0, told.stdout + told.stderr + (host.home / "stack.log").read_text()
    return host, host.secrets(), told


def test_an_empty_host_gets_passwords_services_and_a_ping(
    deployed: tuple[Host, dict[str, dict[str, str]], Any],
) -> None:
    host, secrets, told = deployed
    celery, redis, postgres = (secrets[f".env.{n}"] for n in ("celery", "redis", "postgres"))
    assert redis == {"REDIS_PASSWORD": celery["REDIS_PASSWORD"]}
    assert postgres == {"POSTGRES_PASSWORD": celery["POSTGRES_PASSWORD"]}
    made = [celery[n] for n in ("REDIS_PASSWORD", "POSTGRES_PASSWORD", "FLOWER_PASSWORD")]
    made += [celery["MATERIA_API_KEY"], celery["MATERIA_RAY_TOKEN"]]
    assert len(set(made)) == len(made)
    assert all(len(secret) == 64 for secret in made)
    assert "the ping went through the queue and came back" in told.stdout
    # Neither in an argument of docker, nor on the screen.
    seen = json.dumps(host.asked()) + told.stdout + told.stderr
    assert not [secret for secret in made if secret in seen]
    assert ["compose", "up", "--detach", "--build", "--remove-orphans"] in host.asked()
    assert (host.deployment / "deploy" / "compose.yaml").exists()
    assert state.look(host.home / "data")["ready"]


def test_a_second_run_keeps_passwords_and_removes_what_is_gone(
    deployed: tuple[Host, dict[str, dict[str, str]], Any],
) -> None:
    host, secrets, _ = deployed
    stale = host.deployment / "src" / "materia" / "stale.py"
    stale.write_text("")
    env = host.deployment / ".env.celery"
    env.write_text(env.read_text().replace("FLOWER_USER=materia", "FLOWER_USER=lab"))
    told = host.deploy()
    assert told.returncode == 0, told.stdout + told.stderr
    assert not stale.exists()
    secrets[".env.celery"]["FLOWER_USER"] = "lab"
    assert host.secrets() == secrets


def test_passwords_that_differ_are_nobody_s_to_decide(
    deployed: tuple[Host, dict[str, dict[str, str]], Any],
) -> None:
    host, _, _ = deployed
    file = host.deployment / ".env.redis"
    before = file.read_text()
    file.write_text("REDIS_PASSWORD=another\n")
    n_asked = len(host.asked())
    told = host.deploy()
    file.write_text(before)
    assert told.returncode == 1
    assert "REDIS_PASSWORD differs between .env.redis and .env.celery" in told.stderr
    assert ["compose", "up"] not in [asked[:2] for asked in host.asked()[n_asked:]]


def test_a_worker_that_does_not_answer_is_said_loudly(
    deployed: tuple[Host, dict[str, dict[str, str]], Any],
) -> None:
    host, _, _ = deployed
    pids = {p["name"]: p["pid"] for p in state.look(host.home / "data")["processes"]}
    os.kill(pids["worker"], signal.SIGSTOP)
    try:
        told = host.deploy(WAIT_S="1")
    finally:
        os.kill(pids["worker"], signal.SIGCONT)
    assert told.returncode == 1
    assert "no worker answered the ping: TimeoutError" in told.stderr
    assert "what was deployed does not work" in told.stderr
    assert ["compose", "logs", "--tail=40"] in host.asked()


@pytest.mark.parametrize("arguments", [[], ["--help"], ["host", "a folder"]])
def test_wrong_arguments_are_refused(arguments: list[str]) -> None:
    told = subprocess.run([SCRIPT, *arguments], capture_output=True, text=True, check=False)
    assert told.returncode == 1
    assert "usage" in told.stderr or "folder" in told.stderr


def test_a_host_that_cannot_be_reached_is_named() -> None:
    env = {**os.environ, "SSH_OPTIONS": f"-p {free_port()} -F none"}
    told = subprocess.run(
        [SCRIPT, "127.0.0.1"], env=env, capture_output=True, text=True, check=False, timeout=60
    )
    assert told.returncode == 1
    assert "127.0.0.1 cannot be reached by ssh" in told.stderr
