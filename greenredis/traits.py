"""What is known of each command: may it be sent again, may it share a connection, does it wait."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import isfinite
from typing import Any, NamedTuple


class Traits(NamedTuple):
    """Of one command; the defaults are those of a command that is not known."""

    read_only: bool = False  # may be sent again: it changes nothing
    shareable: bool = False  # may travel on a connection that others use at the same time
    blocking: bool = False  # waits in the server, on these words
    state: bool = False  # changes its connection, which is closed when released
    refused: str | None = None  # why not outside of single_connection_client, and what to do instead
    is_fixed: bool = True  # the same whatever words follow the first
    timeout_at: int = 0  # the word that says how long a blocking command waits
    timeout_unit: float = 1.0  # in seconds

    def block_seconds(self, words: Sequence[Any]) -> float | None:
        """How long these words let the server wait: None if they do not, 0 for ever."""
        if not self.blocking:
            return None
        try:
            found = words[self.timeout_at]
            seconds = (
                float(found if isinstance(found, (str, int, float)) else bytes(found)) * self.timeout_unit
            )
        except (IndexError, TypeError, ValueError, OverflowError):
            return None  # the server answers such words with an error, at once
        return seconds if isfinite(seconds) and seconds >= 0 else None


_READ = (
    # strings
    "GET GETBIT GETRANGE LCS MGET STRLEN SUBSTR BITCOUNT BITFIELD_RO BITPOS DIGEST",
    # keys
    "DUMP EXISTS EXPIRETIME KEYS PEXPIRETIME PTTL RANDOMKEY SCAN CLUSTERSCAN SORT_RO TTL TYPE",
    # hashes
    "HEXISTS HEXPIRETIME HGET HGETALL HKEYS HLEN HMGET HPEXPIRETIME HPTTL HRANDFIELD HSCAN",
    "HSTRLEN HTTL HVALS",
    # lists
    "LINDEX LLEN LPOS LRANGE",
    # sets
    "SCARD SDIFF SDIFFCARD SINTER SINTERCARD SISMEMBER SMEMBERS SMISMEMBER SRANDMEMBER",
    "SSCAN SUNION SUNIONCARD",
    # sorted sets
    "ZCARD ZCOUNT ZDIFF ZINTER ZINTERCARD ZLEXCOUNT ZMSCORE ZRANDMEMBER ZRANGE ZRANGEBYLEX ZRANGEBYSCORE",
    "ZRANK ZREVRANGE ZREVRANGEBYLEX ZREVRANGEBYSCORE ZREVRANK ZSCAN ZSCORE ZUNION",
    # streams
    "XLEN XPENDING XRANGE XREVRANGE",
    # places and counts
    "GEODIST GEOHASH GEOPOS GEORADIUSBYMEMBER_RO GEORADIUS_RO GEOSEARCH PFCOUNT",
    # arrays and vector sets
    "ARCOUNT ARGET ARGETRANGE ARGREP ARINFO ARLASTITEMS ARLEN ARMGET ARNEXT AROP ARSCAN",
    "VCARD VDIM VEMB VGETATTR VINFO VISMEMBER VLINKS VRANDMEMBER VRANGE VSIM",
    # scripts
    "EVALSHA_RO EVAL_RO FCALL_RO",
    # server
    "DBSIZE ECHO INFO LASTSAVE LOLWUT PING ROLE STRALGO TIME",
    # the modules that come with Redis 8
    "BF.CARD BF.EXISTS BF.INFO BF.MEXISTS BF.SCANDUMP CF.COUNT CF.EXISTS CF.INFO CF.MEXISTS CF.SCANDUMP",
    "CMS.INFO CMS.QUERY TOPK.COUNT TOPK.INFO TOPK.LIST TOPK.QUERY",
    "TDIGEST.BYRANK TDIGEST.BYREVRANK TDIGEST.CDF TDIGEST.INFO TDIGEST.MAX TDIGEST.MIN TDIGEST.QUANTILE",
    "TDIGEST.RANK TDIGEST.REVRANK TDIGEST.TRIMMED_MEAN",
    "JSON.ARRINDEX JSON.ARRLEN JSON.GET JSON.MGET JSON.OBJKEYS JSON.OBJLEN",
    "JSON.RESP JSON.STRLEN JSON.TYPE",
    "FT._LIST FT.ALIASLIST FT.DICTDUMP FT.EXPLAIN FT.EXPLAINCLI FT.INFO FT.MGET FT.SEARCH FT.SPELLCHECK",
    "FT.SUGGET FT.SUGLEN FT.SYNDUMP FT.TAGVALS",
    "TS.GET TS.INFO TS.MGET TS.MRANGE TS.MREVRANGE TS.NRANGE TS.NREVRANGE TS.QUERYINDEX TS.QUERYLABELS",
    "TS.RANGE TS.REVRANGE",
)

# TOUCH is read-only to the server, but is sent for what it changes.
_WRITE = (
    # strings
    "APPEND BITFIELD BITOP DECR DECRBY DELEX DELIFEQ GETDEL GETEX GETSET INCR INCRBY INCRBYFLOAT INCREX",
    "MSET MSETEX MSETNX PSETEX SET SETBIT SETEX SETNX SETRANGE",
    # keys
    "COPY DEL EXPIRE EXPIREAT MIGRATE MOVE PERSIST PEXPIRE PEXPIREAT RENAME",
    "RENAMENX RESTORE RESTORE-ASKING",
    "SORT TOUCH UNLINK",
    # hashes
    "HDEL HEXPIRE HEXPIREAT HGETDEL HGETEX HINCRBY HINCRBYFLOAT HMSET HPERSIST HPEXPIRE",
    "HPEXPIREAT HSET HSETEX",
    "HSETNX",
    # lists
    "LINSERT LMOVE LMOVEM LMPOP LPOP LPUSH LPUSHX LREM LSET LTRIM RPOP RPOPLPUSH RPUSH RPUSHX",
    # sets
    "SADD SDIFFSTORE SINTERSTORE SMOVE SPOP SREM SUNIONSTORE",
    # sorted sets
    "ZADD ZDIFFSTORE ZINCRBY ZINTERSTORE ZMPOP ZPOPMAX ZPOPMIN ZRANGESTORE",
    "ZREM ZREMRANGEBYLEX ZREMRANGEBYRANK",
    "ZREMRANGEBYSCORE ZUNIONSTORE",
    # streams
    "XACK XACKDEL XADD XAUTOCLAIM XCFGSET XCLAIM XDEL XDELEX XNACK XSETID XTRIM",
    # places and counts
    "GEOADD GEORADIUS GEORADIUSBYMEMBER GEOSEARCHSTORE PFADD PFDEBUG PFMERGE PFSELFTEST",
    # arrays and vector sets
    "ARDEL ARDELRANGE ARINSERT ARMSET ARRING ARSEEK ARSET VADD VREM VSETATTR",
    # scripts and messages
    "EVAL EVALSHA FCALL PUBLISH SPUBLISH",
    # server
    "BGREWRITEAOF BGSAVE FAILOVER FLUSHALL FLUSHDB REPLICAOF SAVE SFLUSH SLAVEOF SWAPDB TRIMSLOTS",
    # the modules that come with Redis 8
    "BF.ADD BF.INSERT BF.LOADCHUNK BF.MADD BF.RESERVE",
    "CF.ADD CF.ADDNX CF.COMPACT CF.DEL CF.INSERT CF.INSERTNX CF.LOADCHUNK CF.RESERVE",
    "CMS.INCRBY CMS.INITBYDIM CMS.INITBYPROB CMS.MERGE TOPK.ADD TOPK.INCRBY TOPK.RESERVE",
    "TDIGEST.ADD TDIGEST.CREATE TDIGEST.MERGE TDIGEST.RESET",
    "JSON.ARRAPPEND JSON.ARRINSERT JSON.ARRPOP JSON.ARRTRIM JSON.CLEAR JSON.DEBUG JSON.DEL JSON.FORGET",
    "JSON.MERGE JSON.MSET JSON.NUMINCRBY JSON.NUMMULTBY JSON.NUMPOWBY",
    "JSON.SET JSON.STRAPPEND JSON.TOGGLE",
    "FT.ADD FT.ADDHASH FT.AGGREGATE FT.ALIASADD FT.ALIASDEL FT.ALIASUPDATE FT.ALTER FT.CONFIG FT.CREATE",
    "FT.CURSOR FT.DEL FT.DICTADD FT.DICTDEL FT.DROP FT.DROPINDEX FT.HYBRID",
    "FT.PROFILE FT.SUGADD FT.SUGDEL",
    "FT.SYNADD FT.SYNUPDATE",
    "TS.ADD TS.ALTER TS.CREATE TS.CREATERULE TS.DECRBY TS.DEL TS.DELETERULE TS.INCRBY TS.MADD",
)

# SHUTDOWN too: the connection ends with it.
_STATE = "ASKING AUTH DEBUG HELLO READONLY READWRITE REPLCONF SHUTDOWN UNWATCH WATCH"

# Seconds or milliseconds, and the word that says how many.
_BLOCKING = {
    "BLMOVE": (-1, 1.0),
    "BLMOVEM": (5, 1.0),
    "BLMPOP": (1, 1.0),
    "BLPOP": (-1, 1.0),
    "BRPOP": (-1, 1.0),
    "BRPOPLPUSH": (-1, 1.0),
    "BZMPOP": (1, 1.0),
    "BZPOPMAX": (-1, 1.0),
    "BZPOPMIN": (-1, 1.0),
    "WAIT": (-1, 0.001),
    "WAITAOF": (-1, 0.001),
}

# They wait, for milliseconds, only with BLOCK: what they are, and how many words each option takes before it.
_BLOCKING_BY_OPTION = {
    "XREAD": (True, {"COUNT": 2}),
    "XREADGROUP": (False, {"GROUP": 3, "COUNT": 2, "CLAIM": 2}),
    "TS.READ": (True, {}),
}

_TRANSACTION = "use a client with single_connection_client=True"
_SUBSCRIPTION = "send it and read on a connection of your own, of connection_pool.get_connection()"
_REPLICA = "it makes a replica of the connection, whose stream no client can read"
_REFUSED = {
    "MULTI": _TRANSACTION,
    "EXEC": _TRANSACTION,
    "DISCARD": _TRANSACTION,
    "SELECT": "use Redis(db=...), a client for that database",
    "RESET": "close() the client, or use another: new connections start anew",
    "QUIT": "use close(), which closes all connections",
    "SUBSCRIBE": _SUBSCRIPTION,
    "PSUBSCRIBE": _SUBSCRIPTION,
    "SSUBSCRIBE": _SUBSCRIPTION,
    "UNSUBSCRIBE": _SUBSCRIPTION,
    "PUNSUBSCRIBE": _SUBSCRIPTION,
    "SUNSUBSCRIBE": _SUBSCRIPTION,
    "MONITOR": _SUBSCRIPTION,
    "SYNC": _REPLICA,
    "PSYNC": _REPLICA,
    "WAITAOF": "it counts its own connection's writes, so use single_connection_client=True",
}
_REFUSED_SUBCOMMANDS = {
    ("CLIENT", "REPLY"): _SUBSCRIPTION,
}

_READ_SUBCOMMANDS = {
    "ACL": "CAT DRYRUN GENPASS GETUSER HELP LIST USERS WHOAMI",
    "CLIENT": "GETNAME GETREDIR HELP ID INFO LIST TRACKINGINFO",
    "CLUSTER": "COUNT-FAILURE-REPORTS COUNTKEYSINSLOT GETKEYSINSLOT GETSLOTMIGRATIONS HELP "
    "INFO KEYSLOT LINKS "
    "MYID MYSHARDID NODES REPLICAS SHARDS SLAVES SLOT-STATS SLOTS",
    "COMMAND": "COUNT DOCS GETKEYS GETKEYSANDFLAGS HELP INFO LIST",
    "COMMANDLOG": "GET HELP LEN",
    "CONFIG": "GET HELP",
    "FUNCTION": "DUMP HELP LIST STATS",
    "HOTKEYS": "GET HELP",
    "LATENCY": "DOCTOR GRAPH HELP HISTOGRAM HISTORY LATEST",
    "MEMORY": "DOCTOR HELP MALLOC-STATS STATS USAGE",
    "MODULE": "HELP LIST",
    "OBJECT": "ENCODING FREQ HELP IDLETIME REFCOUNT",
    "PUBSUB": "CHANNELS HELP NUMPAT NUMSUB SHARDCHANNELS SHARDNUMSUB",
    "SCRIPT": "EXISTS HELP SHOW",
    "SENTINEL": "CKQUORUM GET-MASTER-ADDR-BY-NAME HELP INFO-CACHE MASTER MASTERS "
    "MYID PENDING-SCRIPTS REPLICAS "
    "SENTINELS SLAVES",
    "SLOWLOG": "GET HELP LEN",
    "XGROUP": "HELP",
    "XINFO": "CONSUMERS GROUPS HELP STREAM",
}
_WRITE_SUBCOMMANDS = {
    "ACL": "DELUSER LOAD LOG SAVE SETUSER",
    "CLIENT": "KILL PAUSE UNBLOCK UNPAUSE",
    "CLUSTER": "ADDSLOTS ADDSLOTSRANGE BUMPEPOCH CANCELSLOTMIGRATIONS DELSLOTS "
    "DELSLOTSRANGE FAILOVER FLUSHSLOT "
    "FLUSHSLOTS FORGET MEET MIGRATESLOTS MIGRATION REPLICATE RESET SAVECONFIG SET-CONFIG-EPOCH SETSLOT",
    "COMMANDLOG": "RESET",
    "CONFIG": "RESETSTAT REWRITE SET",
    "FUNCTION": "DELETE FLUSH KILL LOAD RESTORE",
    "HOTKEYS": "RESET START STOP",
    "LATENCY": "RESET",
    "MEMORY": "PURGE",
    "MODULE": "LOAD LOADEX UNLOAD",
    "SCRIPT": "FLUSH KILL LOAD",
    "SENTINEL": "CONFIG DEBUG FAILOVER FLUSHCONFIG IS-MASTER-DOWN-BY-ADDR MONITOR REMOVE RESET SET "
    "SIMULATE-FAILURE",
    "SLOWLOG": "RESET",
    "XGROUP": "CREATE CREATECONSUMER DELCONSUMER DESTROY SETID",
}
_STATE_SUBCOMMANDS = {
    "CLIENT": "CACHING CAPA IMPORT-SOURCE NO-EVICT NO-TOUCH SETINFO SETNAME TRACKING",
    "CLUSTER": "SYNCSLOTS",
    "HIMPORT": "DISCARD DISCARDALL PREPARE SET",
    "SCRIPT": "DEBUG",
}

_UNKNOWN = Traits()
# What CLIENT learns one day is likely to be about the connection.
_UNKNOWN_SUBCOMMANDS = {"CLIENT": Traits(state=True, is_fixed=False)}
_UNKNOWN_SUBCOMMAND = Traits(is_fixed=False)


def traits_of(words: Sequence[Any]) -> Traits:
    """What is known of the command: its name in any case, in one word or two, as str or bytes."""
    try:
        return _BY_NAME[words[0]]
    except (KeyError, TypeError):
        return _look_up(words)


def _look_up(words: Sequence[Any]) -> Traits:
    name, *rest = _upper(words[0]).split() or [""]
    if name in _CONTAINERS:
        subcommand = rest[0] if rest else _upper(words[1]) if len(words) > 1 else ""
        unknown = _UNKNOWN_SUBCOMMANDS.get(name, _UNKNOWN_SUBCOMMAND)
        return _BY_SUBCOMMAND.get((name, subcommand), unknown)
    if name in _BLOCKING_BY_OPTION:
        return _by_block_option(name, words)
    return _BY_NAME.get(name, _UNKNOWN)


def _by_block_option(name: str, words: Sequence[Any]) -> Traits:
    read_only, widths = _BLOCKING_BY_OPTION[name]
    at = 1
    while at < len(words) - 1:
        option = _upper(words[at])
        if option == "STREAMS":
            break
        if option == "BLOCK":
            return Traits(read_only, blocking=True, is_fixed=False, timeout_at=at + 1, timeout_unit=0.001)
        at += widths.get(option, 1)
    return Traits(read_only, shareable=True, is_fixed=False)


def _upper(word: Any) -> str:
    if isinstance(word, (bytes, bytearray, memoryview)):
        word = str(word, "latin-1")
    return str(word).upper()


def _commands() -> Iterator[tuple[str, Traits]]:
    for name in " ".join(_READ).split():
        yield name, Traits(read_only=True, shareable=True)
    for name in " ".join(_WRITE).split():
        yield name, Traits(shareable=True)
    for name in _STATE.split():
        yield name, Traits(state=True)
    for name, sentence in _REFUSED.items():
        yield name, Traits(state=True, refused=sentence)
    for name, (at, unit) in _BLOCKING.items():
        yield name, Traits(blocking=True, refused=_REFUSED.get(name), timeout_at=at, timeout_unit=unit)


def _subcommands() -> Iterator[tuple[tuple[str, str], Traits]]:
    groups: tuple[tuple[Mapping[str, str], Traits], ...] = (
        (_READ_SUBCOMMANDS, Traits(read_only=True, shareable=True, is_fixed=False)),
        (_WRITE_SUBCOMMANDS, Traits(shareable=True, is_fixed=False)),
        (_STATE_SUBCOMMANDS, Traits(state=True, is_fixed=False)),
    )
    for table, traits in groups:
        for name, subcommands in table.items():
            for subcommand in subcommands.split():
                yield (name, subcommand), traits
    for names, sentence in _REFUSED_SUBCOMMANDS.items():
        yield names, Traits(state=True, refused=sentence, is_fixed=False)
    yield ("COMMAND", ""), Traits(read_only=True, shareable=True, is_fixed=False)


_BY_SUBCOMMAND = dict(_subcommands())
_CONTAINERS = frozenset(name for name, _ in _BY_SUBCOMMAND)
_BY_NAME: dict[Any, Traits] = dict(_commands())
_BY_NAME.update({name.encode(): traits for name, traits in _BY_NAME.items()})
