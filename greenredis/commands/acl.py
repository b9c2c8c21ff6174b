"""Users and their rights."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ..exceptions import DataError
from .options import Commands, Key, Word, list_or_args


class AclCommands(Commands):
    def acl_cat(self, category: str | None = None, **kwargs: Any) -> list[Any]:
        """The categories of commands, or the commands of one."""
        return self.execute_command("ACL CAT", *([category] if category else []), **kwargs)

    def acl_dryrun(self, username: str, *args: Word, **kwargs: Any) -> Any:
        """OK if the user may run that command, otherwise what he lacks."""
        return self.execute_command("ACL DRYRUN", username, *args, **kwargs)

    def acl_deluser(self, *username: str, **kwargs: Any) -> int:
        """How many of the users were deleted."""
        return self.execute_command("ACL DELUSER", *username, **kwargs)

    def acl_genpass(self, bits: int | None = None, **kwargs: Any) -> Any:
        """A random password of that many bits (256), in hexadecimal."""
        if bits is None:
            return self.execute_command("ACL GENPASS", **kwargs)
        try:
            count = int(bits)
        except ValueError:
            count = -1
        if not 0 <= count <= 4096:
            raise DataError("genpass optionally accepts a bits argument, between 0 and 4096.")
        return self.execute_command("ACL GENPASS", count, **kwargs)

    def acl_getuser(self, username: str, **kwargs: Any) -> dict[str, Any] | None:
        """The user's rights, None if there is no such user."""
        return self.execute_command("ACL GETUSER", username, **kwargs)

    def acl_help(self, **kwargs: Any) -> list[Any]:
        """The server's own help."""
        return self.execute_command("ACL HELP", **kwargs)

    def acl_list(self, **kwargs: Any) -> list[Any]:
        """The rules of all users."""
        return self.execute_command("ACL LIST", **kwargs)

    def acl_log(self, count: int | None = None, **kwargs: Any) -> list[dict[str, Any]]:
        """What was denied lately, `count` of it."""
        if count is None:
            return self.execute_command("ACL LOG", **kwargs)
        if not isinstance(count, int):
            raise DataError("ACL LOG count must be an integer")
        return self.execute_command("ACL LOG", count, **kwargs)

    def acl_log_reset(self, **kwargs: Any) -> bool:
        """True, after forgetting what was denied."""
        return self.execute_command("ACL LOG", "RESET", **kwargs)

    def acl_load(self, **kwargs: Any) -> bool:
        """True, after reading the server's file of users."""
        return self.execute_command("ACL LOAD", **kwargs)

    def acl_save(self, **kwargs: Any) -> bool:
        """True, after writing the server's file of users."""
        return self.execute_command("ACL SAVE", **kwargs)

    def acl_setuser(
        self,
        username: str,
        enabled: bool = False,
        nopass: bool = False,
        passwords: str | Iterable[str] | None = None,
        hashed_passwords: str | Iterable[str] | None = None,
        categories: Iterable[str] | None = None,
        commands: Iterable[str] | None = None,
        keys: Iterable[Key] | None = None,
        channels: Iterable[Key] | None = None,
        selectors: Iterable[tuple[str, Key]] | None = None,
        reset: bool = False,
        reset_keys: bool = False,
        reset_channels: bool = False,
        reset_passwords: bool = False,
        **kwargs: Any,
    ) -> bool:
        """True, after making or changing a user.

        Passwords, categories and commands begin with "+" to add and "-" to remove, or there is a DataError;
        keys and channels are patterns, keys perhaps with the rights ("%R~pattern"); a selector is a
        command and a key.  The resets come first.
        """
        if (passwords or hashed_passwords) and nopass:
            raise DataError("Cannot set 'nopass' and supply 'passwords' or 'hashed_passwords'")
        encode: Callable[[Any], bytes] = self.get_encoder().encode
        flags = {"reset": reset, "resetkeys": reset_keys, "resetchannels": reset_channels}
        words: list[Any] = [name for name, given in flags.items() if given]
        words += ["resetpass"] if reset_passwords else []
        words.append("on" if enabled else "off")
        words += _passwords(encode, "Password", passwords, b">", b"<")
        words += _passwords(encode, "Hashed password", hashed_passwords, b"#", b"!")
        words += ["nopass"] if nopass else []
        words += [_category(encode(category)) for category in categories or ()]
        words += [_command(encode(command)) for command in commands or ()]
        words += [_key(encode(key)) for key in keys or ()]
        words += [b"&" + encode(channel) for channel in channels or ()]
        for command, key in selectors or ():
            words.append(b"(%s %s)" % (_command(encode(command)), _key(encode(key))))
        return self.execute_command("ACL SETUSER", username, *words, **kwargs)

    def acl_users(self, **kwargs: Any) -> list[Any]:
        """The names of all users."""
        return self.execute_command("ACL USERS", **kwargs)

    def acl_whoami(self, **kwargs: Any) -> Any:
        """The user of this connection."""
        return self.execute_command("ACL WHOAMI", **kwargs)


def _passwords(
    encode: Callable[[Any], bytes], what: str, given: Any, add: bytes, remove: bytes
) -> list[bytes]:
    words = []
    for number, password in enumerate(map(encode, list_or_args(given, None) if given else ())):
        if password[:1] not in (b"+", b"-"):
            # Not shown.
            raise DataError(f'{what} {number} must be prefixed with a "+" to add or a "-" to remove')
        words.append((add if password[:1] == b"+" else remove) + password[1:])
    return words


def _category(word: bytes) -> bytes:
    _check_sign("Category", word)
    return word if word[1:2] == b"@" else word[:1] + b"@" + word[1:]


def _command(word: bytes) -> bytes:
    _check_sign("Command", word)
    return word


def _check_sign(what: str, word: bytes) -> None:
    if word[:1] not in (b"+", b"-"):
        raise DataError(f'{what} "{word.decode(errors="replace")}" must be prefixed with "+" or "-"')


def _key(word: bytes) -> bytes:
    return word if word[:1] in (b"%", b"~") else b"~" + word
