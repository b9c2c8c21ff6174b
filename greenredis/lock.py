"""Lock: one holder at a time among all clients of a server."""

from __future__ import annotations

import logging
import random
import uuid
from time import monotonic
from types import SimpleNamespace, TracebackType
from typing import Any, Literal, TypeVar

import gevent
from gevent.local import local

from . import deadlines
from .exceptions import ConnectionError, LockError, LockNotOwnedError, RedisError, TimeoutError

L = TypeVar("L", bound="Lock")

log = logging.getLogger(__name__)
_TRIES = 3  # to give up in the background what nobody knows of


class _Unique(bytes):
    """A token that no other acquisition has ever had."""


class _PerGreenlet(local):
    """What a greenlet knows of its own acquisition; a new one knows of none."""

    token: bytes | None = None


class Lock:
    """The key `name`, held by whoever set it to a token of his own.

    `timeout`: seconds until the server ends the lock by itself; None: it stays until it is released.
    `sleep`: seconds between two attempts while somebody else holds it.  `blocking=False`: one attempt.
    `blocking_timeout`: seconds to wait for the holder.  `thread_local`: only the greenlet that acquired it
    can release or extend it; False: whoever has this object.  `raise_on_release_error=False`: a lock lost
    before the end of a `with` block is only logged.

    An acquisition whose answer got lost is looked up; a greenlet that is killed, or leaves by an error,
    before it knows the answer gives up in the background what it may have acquired, and so it does with a
    release.  That can fail while the server is away: then a lock without `timeout` stays.  It is not done
    for a `token` of the caller's own, which may be somebody else's too.
    """

    lua_release: Any = None
    lua_extend: Any = None
    lua_reacquire: Any = None

    # KEYS: the lock's name; ARGV: the token. 1 if it was released, 0 if it is not that token's.
    LUA_RELEASE_SCRIPT = """
        if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
        return redis.call('DEL', KEYS[1])
    """

    # ARGV: the token; milliseconds; "1" to replace the time that is left, "0" to add to it.
    # 1 if it was extended, 0 if it is not that token's, or never ends.
    LUA_EXTEND_SCRIPT = """
        if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
        local left = redis.call('PTTL', KEYS[1])
        if left < 0 then return 0 end
        if ARGV[3] == '1' then left = 0 end
        redis.call('PEXPIRE', KEYS[1], left + tonumber(ARGV[2]))
        return 1
    """

    # ARGV: the token; milliseconds from now. 1 if that is its time now, 0 if it is not that token's.
    LUA_REACQUIRE_SCRIPT = """
        if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
        redis.call('PEXPIRE', KEYS[1], ARGV[2])
        return 1
    """

    def __init__(
        self,
        redis: Any,
        name: str,
        timeout: float | None = None,
        sleep: float = 0.1,
        blocking: bool = True,
        blocking_timeout: float | None = None,
        thread_local: bool = True,
        raise_on_release_error: bool = True,
    ) -> None:
        self.redis = redis
        self.name = name
        self.timeout = timeout
        self.sleep = sleep
        self.blocking = blocking
        self.blocking_timeout = blocking_timeout
        self.thread_local = bool(thread_local)
        self.raise_on_release_error = raise_on_release_error
        self.local: Any = _PerGreenlet() if self.thread_local else SimpleNamespace(token=None)
        self.register_scripts()

    def register_scripts(self) -> None:
        """Make the scripts of this object's class callable, where it does not bring its own callables."""
        # On the object: a class would keep the first client for ever, and hide a subclass's script.
        if self.lua_release is None:
            self.lua_release = self.redis.register_script(self.LUA_RELEASE_SCRIPT)
        if self.lua_extend is None:
            self.lua_extend = self.redis.register_script(self.LUA_EXTEND_SCRIPT)
        if self.lua_reacquire is None:
            self.lua_reacquire = self.redis.register_script(self.LUA_REACQUIRE_SCRIPT)

    def __enter__(self: L) -> L:
        if self.acquire():
            return self
        raise LockError("Unable to acquire lock within the time specified", lock_name=self.name)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.release()
        except LockError as lost:
            if self.raise_on_release_error:
                raise
            log.warning("the lock %r had been lost before the end of its block: %s", self.name, str(lost))

    # -- acquiring

    def acquire(
        self,
        sleep: float | None = None,
        blocking: bool | None = None,
        blocking_timeout: float | None = None,
        token: str | bytes | None = None,
    ) -> bool:
        """Whether the lock was acquired within `blocking_timeout`; None: the object's own settings.

        `token`: what to set the key to, instead of something unique.  Raises TimeoutError if the lock is
        still held at the greenlet's deadline, and what a command raises.
        """
        sleep = self.sleep if sleep is None else sleep
        blocking = self.blocking if blocking is None else blocking
        if blocking_timeout is None:
            blocking_timeout = self.blocking_timeout
        stop_at = None if blocking_timeout is None else monotonic() + blocking_timeout
        word = _Unique(uuid.uuid4().hex.encode()) if token is None else self._encode(token)
        acquisition = _Acquisition(self, word, stop_at)
        try:
            while not acquisition.attempt():
                if not blocking or not self._may_wait(sleep, stop_at):
                    return False
                gevent.sleep(sleep)
            self.local.token = word
            return True
        finally:
            if acquisition.is_unknown:
                self._give_up(word)

    def _may_wait(self, sleep: float, stop_at: float | None) -> bool:
        """Whether there is time for another attempt; TimeoutError if it is the deadline that forbids it."""
        next_at = monotonic() + sleep
        if stop_at is not None and next_at > stop_at:
            return False
        until = deadlines.current()
        if until is not None and next_at >= until:
            raise TimeoutError(f"the lock {self.name!r} is held by somebody else, up to the deadline")
        return True

    def do_acquire(self, token: Any) -> bool:
        """Whether one attempt set the key."""
        milliseconds = int(self.timeout * 1000) if self.timeout else None
        return bool(self.redis.set(self.name, token, nx=True, px=milliseconds))

    def locked(self) -> bool:
        """Whether anybody holds the lock."""
        return self.redis.get(self.name) is not None

    def owned(self) -> bool:
        """Whether this object holds the lock, acquired by this greenlet if `thread_local`."""
        return self.local.token is not None and self._is_held_by(self.local.token)

    def _is_held_by(self, token: bytes) -> bool:
        stored = self.redis.get(self.name)
        return stored is not None and self._encode(stored) == token

    def _encode(self, word: Any) -> bytes:
        return bytes(self.redis.get_encoder().encode(word))

    # -- releasing

    def release(self) -> None:
        """Release the lock. LockError if it was not acquired here, LockNotOwnedError if it has been lost."""
        token = self.local.token
        if token is None:
            raise LockError(
                "Cannot release a lock that's not owned or is already unlocked.", lock_name=self.name
            )
        self.local.token = None
        is_unknown = True
        try:
            self.do_release(token)
            is_unknown = False
        except Exception as error:
            is_unknown = isinstance(error, (ConnectionError, TimeoutError))
            raise
        finally:
            if is_unknown:
                self._give_up(token)

    def do_release(self, expected_token: Any) -> None:
        """Delete the key if it is that token's; LockNotOwnedError otherwise."""
        if not self.lua_release(keys=[self.name], args=[expected_token], client=self.redis):
            raise LockNotOwnedError("Cannot release a lock that's no longer owned", lock_name=self.name)

    def _give_up(self, token: bytes) -> None:
        if isinstance(token, _Unique):
            gevent.spawn(self._release_unseen, token)

    def _release_unseen(self, token: bytes) -> None:
        """Release what was acquired with that token, if anything."""
        for _ in range(_TRIES):
            try:
                self.do_release(token)
                return
            except LockNotOwnedError:
                return
            except (ConnectionError, TimeoutError) as error:
                failure = error
            gevent.sleep(random.uniform(0.5, 1.5))
        log.warning("the lock %r may have been left behind: %s", self.name, str(failure))

    # -- staying

    def extend(self, additional_time: float, replace_ttl: bool = False) -> Literal[True]:
        """True, with so many seconds more, or from now on with `replace_ttl`. LockError if it cannot."""
        self._check_extensible("extend")
        return self.do_extend(additional_time, replace_ttl)

    def do_extend(self, additional_time: float, replace_ttl: bool) -> Literal[True]:
        """True; LockNotOwnedError if the key is not this token's."""
        words = [self.local.token, int(additional_time * 1000), "1" if replace_ttl else "0"]
        if not self.lua_extend(keys=[self.name], args=words, client=self.redis):
            raise LockNotOwnedError("Cannot extend a lock that's no longer owned", lock_name=self.name)
        return True

    def reacquire(self) -> Literal[True]:
        """True, with the whole `timeout` from now on. LockError if it cannot."""
        self._check_extensible("reacquire")
        return self.do_reacquire()

    def do_reacquire(self) -> Literal[True]:
        """True; LockNotOwnedError if the key is not this token's."""
        assert self.timeout is not None
        words = [self.local.token, int(self.timeout * 1000)]
        if not self.lua_reacquire(keys=[self.name], args=words, client=self.redis):
            raise LockNotOwnedError("Cannot reacquire a lock that's no longer owned", lock_name=self.name)
        return True

    def _check_extensible(self, verb: str) -> None:
        if self.local.token is None:
            raise LockError(f"Cannot {verb} an unlocked lock", lock_name=self.name)
        if self.timeout is None:
            raise LockError(f"Cannot {verb} a lock with no timeout", lock_name=self.name)


class _Acquisition:
    """Attempts with one token; `is_unknown` while one may have set the key without our knowing."""

    def __init__(self, lock: Lock, token: bytes, stop_at: float | None) -> None:
        self.lock = lock
        self.token = token
        self.stop_at = stop_at
        self.is_unknown = False
        # Such a client repeats a SET whose answer was lost, and is told that somebody holds the lock: itself.
        self._is_repeated = getattr(lock.redis, "_resend", "") == "always" and isinstance(token, _Unique)

    def attempt(self) -> bool:
        """Whether the lock is ours now. After a lost answer there is at once one attempt more."""
        doubted, self.is_unknown = self.is_unknown, True
        try:
            taken = self.lock.do_acquire(self.token) or (
                (doubted or self._is_repeated) and self.lock._is_held_by(self.token)
            )
        except Exception as error:
            self.is_unknown = doubted or getattr(error, "maybe_executed", False)
            if isinstance(error, RedisError):
                error.maybe_executed = self.is_unknown  # by any attempt
            if doubted or not self._may_look_again(error):
                raise
            return self.attempt()
        self.is_unknown = doubted and not taken
        return taken

    def _may_look_again(self, error: Exception) -> bool:
        if not isinstance(error, (ConnectionError, TimeoutError)) or not error.maybe_executed:
            return False
        in_time = self.stop_at is None or monotonic() < self.stop_at
        return in_time and isinstance(self.token, _Unique)
