"""Redis transport on which priority 9 is the most urgent, for any Celery client.

Kombu serves priority 0 first. Publishing is left alone, so that a client without our configuration
meets the same keys; only the order in which a worker reads them is turned round. Now and then a
worker reads in kombu's own order, so that the least urgent level is not starved for ever.

Anybody may write into Redis. What is no message is put aside, and a key that is no list is passed
over for a while, for kombu would end the worker or take either for a lost connection.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from queue import Empty
from time import monotonic, time
from typing import Any

from kombu.exceptions import OperationalError
from kombu.transport import redis, virtual
from kombu.utils.encoding import bytes_to_str
from kombu.utils.json import dumps, loads
from redis.exceptions import DataError, RedisError, ResponseError

from materia import log

# One read in so many goes from the least urgent level upwards.
FAIR_EVERY = 20
# Where the newest of what is no message is kept, for people to look at.
ASIDE = "materia:undecodable"
N_ASIDE = 1000
# Of each the beginning.
ASIDE_LENGTH = 16_384
# A larger message is not decoded: arguments are names of files, and data lies in those.
MAX_MESSAGE = 8 * 2**20
REFUSED = "materia:refused"
# A key that is no list is passed over for so long.
PASS_OVER_S = 10.0
WRONG_TYPE = "WRONGTYPE"

# Kombu counts a KeyError among the errors of a connection; most are the sender's omissions.
_of_connection = tuple(kind for kind in redis.Transport.connection_errors if kind is not KeyError)
NOT_OF_THE_MESSAGE = (*_of_connection, RedisError, OperationalError)

logger = log.logger(__name__)


def _reason(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"{error} is missing"
    return f"{type(error).__name__}: {error}"[:200]


class TooLargeError(ValueError):
    """A message is larger than any of ours."""


def _require_small(raw: Any) -> None:
    if isinstance(raw, bytes | str) and len(raw) > MAX_MESSAGE:
        raise TooLargeError(f"{len(raw) / 2**20:.1f} MiB, and {MAX_MESSAGE // 2**20} are the most")


class QoS(redis.QoS):  # type: ignore[misc]
    """Book-keeping of the messages taken, in fewer packets.

    An acknowledgement waits for no reply. One that is lost costs a look at the row when the message
    comes again, and nothing else: the job is final or claimed by then.
    """

    def ack(self, delivery_tag: str) -> None:
        """Forget a message."""
        forgotten = (
            ("ZREM", self.unacked_index_key, delivery_tag),
            ("HDEL", self.unacked_key, delivery_tag),
        )
        if self.channel.tell(*forgotten):
            virtual.QoS.ack(self, delivery_tag)
        else:
            super().ack(delivery_tag)

    def restore_by_tag(self, tag: Any, client: Any = None, leftmost: bool = False) -> None:
        """Return a message to its queue, or put aside what lies there and is none."""
        with self.channel.conn_or_acquire(client) as found:
            taken = found.hget(self.unacked_key, tag)
            try:
                super().restore_by_tag(tag, found, leftmost)
            except NOT_OF_THE_MESSAGE:
                raise
            except Exception as error:  # noqa: BLE001 - anything may lie there
                self.channel.put_aside(self.unacked_key, taken, error)
                self._remove_from_indices(tag).execute()

    @contextmanager
    def pipe_or_acquire(self, pipe: Any = None, client: Any = None) -> Iterator[Any]:
        """Yield a pipeline that is no transaction: its commands are of one message only."""
        if pipe:
            yield pipe
        else:
            with self.channel.conn_or_acquire(client) as found:
                yield found.pipeline(transaction=False)


class Channel(redis.Channel):  # type: ignore[misc]
    """Channel that reads the most urgent level of all its queues first."""

    QoS = QoS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._silent: Any = None
        self._reads = count(1)
        self._commands: dict[tuple[Any, ...], list[bytes]] = {}
        self._passed_over: frozenset[str] = frozenset()
        self._passed_over_until = 0.0
        super().__init__(*args, **kwargs)

    def tell(self, *commands: tuple[Any, ...]) -> bool:
        """Send commands on a connection on which Redis answers nothing.

        Returns:
            False when they could not be sent.
        """
        if self._silent is None:
            pool = self.client.connection_pool
            self._silent = pool.connection_class(**pool.connection_kwargs)
        line = self._silent
        try:
            if not line.is_connected:
                line.connect()
                line.send_command("CLIENT", "REPLY", "OFF", check_health=False)
            packed = line.pack_commands([self._prefixed(command) for command in commands])
            line.send_packed_command(packed, check_health=False)
        except self.connection_errors:
            line.disconnect()
            return False
        return True

    def _prefixed(self, command: Sequence[Any]) -> Sequence[Any]:
        if not self.global_keyprefix:
            return command
        prefixed: Sequence[Any] = self.client._prefix_args(list(command))
        return prefixed

    def close(self) -> None:
        """Close the channel and its connections."""
        super().close()
        if self._silent is not None:
            self._silent.disconnect()

    def put_aside(self, queue: str, raw: Any, error: Exception) -> None:
        """Keep what is no message away from the queue, where people can look at it."""
        reason = _reason(error)
        logger.error("message_put_aside", queue=queue, reason=reason, kept_in=ASIDE)
        kind = "too_large" if isinstance(error, TooLargeError) else "undecodable"
        kept = raw[:ASIDE_LENGTH] if isinstance(raw, bytes | str) else raw
        text = kept.decode(errors="backslashreplace") if isinstance(kept, bytes) else kept
        entry = dumps({"queue": queue, "reason": reason, "time": time(), "message": text})
        try:
            with self.conn_or_acquire() as client:
                client.hincrby(REFUSED, kind, 1)
                if client.lpush(ASIDE, entry) > N_ASIDE:
                    client.rpop(ASIDE)
        except ResponseError as refused:
            logger.error("message_not_kept", queue=queue, reason=str(refused))

    def _forget_if_taken(self, message: Any) -> None:
        """Acknowledge what was noted as taken before it turned out to be no message."""
        with suppress(KeyError, TypeError):
            tag = message["properties"]["delivery_tag"]
            if tag in self.qos._delivered:
                self.qos.ack(tag)

    def _deliver_fanout_message(self, message: Any, exchange: str) -> bool:
        try:
            super()._deliver_fanout_message(message, exchange)
        except NOT_OF_THE_MESSAGE:
            raise
        except Exception as error:  # noqa: BLE001 - anything may have been published
            logger.error("broadcast_ignored", exchange=exchange, reason=_reason(error))
        return True

    def _receive_one(self, c: Any) -> Any:
        try:
            return super()._receive_one(c)
        except RecursionError as error:
            logger.error("broadcast_ignored", reason=_reason(error))
            raise Empty from error

    def _size(self, queue: str) -> int:
        """Return how many messages wait; a key that is no list holds none."""
        with self.conn_or_acquire() as client, client.pipeline(transaction=False) as pipe:
            for level in self.priority_steps:
                pipe.llen(self._q_for_pri(queue, level))
            return sum(size for size in pipe.execute(raise_on_error=False) if type(size) is int)

    def _brpop_start(self, timeout: float | None = None) -> None:
        queues = tuple(self._queue_cycle.consume(len(self.active_queues)))
        if not queues:
            return
        if self._passed_over and monotonic() > self._passed_over_until:
            self._pass_over(frozenset())
        fair = next(self._reads) % FAIR_EVERY == 0
        packed = self._command(queues, fair, timeout or self.brpop_timeout)
        if not packed:
            return
        connection = self._in_poll = self.client.connection
        self._brpop_sent_at = monotonic()
        connection.send_packed_command(packed)

    def _command(self, queues: tuple[str, ...], fair: bool, timeout: float) -> list[bytes]:
        """Return the packed BRPOP over all queues and levels; packing 70 keys is the dear part."""
        wanted = (queues, fair, timeout)
        if wanted not in self._commands:
            levels = self.priority_steps if fair else self.priority_steps[::-1]
            keys = [
                key
                for level in levels
                for queue in queues
                if (key := self._q_for_pri(queue, level)) not in self._passed_over
            ]
            command = self._prefixed(["BRPOP", *keys, timeout or 0])
            self._commands[wanted] = self.client.connection.pack_command(*command) if keys else []
        return self._commands[wanted]

    def _brpop_read(self, **options: Any) -> bool:
        try:
            taken = self._reply(**options)
            if not taken:
                raise Empty
            key, item = taken
            queue = bytes_to_str(key).rsplit(self.sep, 1)[0]
            self._queue_cycle.rotate(queue)
            message: Any = None
            try:
                _require_small(item)
                message = loads(bytes_to_str(item))
                self.connection._deliver(message, queue)
            except DataError as error:
                # Not from Redis: the client refuses to send what the envelope gives as its tag.
                self.put_aside(queue, item, error)
            except NOT_OF_THE_MESSAGE:
                raise
            except Exception as error:  # noqa: BLE001 - anything may lie in a queue
                self.put_aside(queue, item, error)
                self._forget_if_taken(message)
            return True
        finally:
            self._in_poll = None
            self._flush_brpop_reauth()

    def _reply(self, **options: Any) -> Any:
        """Return (key, item) of the read that waits; None when there was nothing in time."""
        try:
            return self.client.parse_response(self.client.connection, "BRPOP", **options)
        except self.connection_errors:
            # The next read connects anew.
            self.client.connection.disconnect()
            raise
        except ResponseError as error:
            if not str(error).startswith(WRONG_TYPE):
                raise
            self._pass_over(self._no_lists())
            return None

    def _no_lists(self) -> frozenset[str]:
        """Return the keys of queues that hold something else than messages."""
        keys = [
            self._q_for_pri(queue, level)
            for queue in self.active_queues
            for level in self.priority_steps
        ]
        with self.conn_or_acquire() as client, client.pipeline(transaction=False) as pipe:
            for key in keys:
                # The client puts the prefix before the keys of some commands, not of this one.
                pipe.type(self.global_keyprefix + key)
            kinds = dict(zip(keys, map(bytes_to_str, pipe.execute()), strict=True))
        wrong = {key: kind for key, kind in kinds.items() if kind not in ("list", "none")}
        for key, kind in wrong.items():
            logger.error(
                "queue_is_no_list",
                key=self.global_keyprefix + key,
                kind=kind,
                looks_again_in_s=PASS_OVER_S,
                hint="something else wrote to this key; delete or rename it in Redis",
            )
        return frozenset(wrong)

    def _pass_over(self, keys: frozenset[str]) -> None:
        self._passed_over, self._passed_over_until = keys, monotonic() + PASS_OVER_S
        self._commands.clear()


class Transport(redis.Transport):  # type: ignore[misc]
    """Kombu's Redis transport with the channel above."""

    Channel = Channel
