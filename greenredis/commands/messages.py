"""Publishing messages, and who would get them. Subscribing is PubSub's."""

from __future__ import annotations

from typing import Any

from .options import Commands, Key, Pattern, Word


class PubSubCommands(Commands):
    def publish(self, channel: Key, message: Word, **kwargs: Any) -> int:
        """How many subscribers of this server got the message."""
        return self.execute_command("PUBLISH", channel, message, **kwargs)

    def spublish(self, shard_channel: Key, message: Word) -> int:
        """As `publish`, within the shard that holds the channel's slot."""
        return self.execute_command("SPUBLISH", shard_channel, message)

    def pubsub_channels(self, pattern: Pattern = "*", **kwargs: Any) -> list[Any]:
        """The channels that have subscribers and match; those of patterns do not count."""
        return self.execute_command("PUBSUB CHANNELS", pattern, **kwargs)

    def pubsub_shardchannels(self, pattern: Pattern = "*", **kwargs: Any) -> list[Any]:
        """The shard channels that have subscribers and match."""
        return self.execute_command("PUBSUB SHARDCHANNELS", pattern, **kwargs)

    def pubsub_numpat(self, **kwargs: Any) -> int:
        """How many patterns have subscribers."""
        return self.execute_command("PUBSUB NUMPAT", **kwargs)

    def pubsub_numsub(self, *args: Key, **kwargs: Any) -> list[tuple[Any, int]]:
        """Each channel with the number of its subscribers."""
        return self.execute_command("PUBSUB NUMSUB", *args, **kwargs)

    def pubsub_shardnumsub(self, *args: Key, **kwargs: Any) -> list[tuple[Any, int]]:
        """Each shard channel with the number of its subscribers."""
        return self.execute_command("PUBSUB SHARDNUMSUB", *args, **kwargs)
