"""The folder of reports: what is whole is taken once, what is refused says why, and nothing is lost on the way."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from payorch.drop_folder import DropFolder, Refused


class Desk:
    """Imports what it is given, as a test has it. fail: raised for a file of that name."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.taken: list[tuple[str, str]] = []
        self.told: list[tuple[str, str | None]] = []
        self.fail: dict[str, Exception] = {}
        self.folder = DropFolder(root, ["psp", "psp-two"], self.take, told=lambda name, refusal: self.told.append((name, refusal)))

    async def take(self, connector: str, path: Path) -> None:
        if path.name in self.fail:
            raise self.fail[path.name]
        self.taken.append((connector, await trio.Path(path).read_text()))

    async def look_twice(self) -> int:
        return await self.folder.look() + await self.folder.look()

    def put(self, name: str, text: str = "a report") -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def there(self) -> set[str]:
        return {str(path.relative_to(self.root)) for path in self.root.rglob("*") if path.is_file()}


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.mark.parametrize(
    ("name", "connector"), [("psp/day.csv", "psp"), ("psp-day.csv", "psp"), ("psp-two-day.CSV", "psp-two"), ("psp-two/1.csv", "psp-two")]
)
async def test_a_report_is_imported_and_put_away(desk: Desk, name: str, connector: str) -> None:
    desk.put(name)
    assert await desk.look_twice() == 1
    assert desk.taken == [(connector, "a report")]
    assert desk.there() == {f"done/{connector}/{Path(name).name}"}
    assert await desk.look_twice() == 0


@pytest.mark.parametrize(
    "name", ["psp/day.csv.part", "psp-day.tmp", "psp/.day.csv", "other/day.csv", "other-day.csv", "day.csv", "done/psp/1.csv"]
)
async def test_what_is_no_report_of_ours_is_left_alone(desk: Desk, name: str) -> None:
    desk.put(name)
    assert await desk.look_twice() == 0
    assert desk.there() == {name}


async def test_what_is_still_being_written_is_waited_for(desk: Desk) -> None:
    path = desk.put("psp/day.csv", "a")
    assert await desk.folder.look() == 0
    path.write_text("a report")
    assert await desk.folder.look() == 0
    assert await desk.folder.look() == 1
    assert desk.taken == [("psp", "a report")]


async def test_a_link_is_not_followed(desk: Desk, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "secret.csv"
    elsewhere.write_text("not a report")
    (desk.root / "psp-day.csv").symlink_to(elsewhere)
    assert await desk.look_twice() == 0
    assert desk.taken == []


async def test_what_is_refused_says_why_beside_it(desk: Desk) -> None:
    desk.put("psp/day.csv")
    desk.fail["day.csv"] = Refused("it has no header\n\x1b[2J")
    assert await desk.look_twice() == 0
    assert desk.there() == {"refused/psp/day.csv", "refused/psp/day.csv.reason"}
    assert (desk.root / "refused/psp/day.csv.reason").read_text() == "it has no header\\n\\x1b[2J\n"
    assert desk.told == [("day.csv", "it has no header\\n\\x1b[2J")]


async def test_two_of_one_name_are_kept_apart(desk: Desk) -> None:
    for text in ("first", "second", "third"):
        desk.put("psp/day.csv", text)
        assert await desk.look_twice() == 1
    assert desk.there() == {"done/psp/day.csv", "done/psp/day-2.csv", "done/psp/day-3.csv"}


async def test_what_goes_wrong_with_one_hurts_no_other_and_is_tried_again(desk: Desk) -> None:
    desk.put("psp/1.csv")
    desk.put("psp/2.csv")
    desk.fail["1.csv"] = RuntimeError("no database")
    await desk.folder.look()
    with pytest.raises(RuntimeError, match="no database"):
        await desk.folder.look()
    assert desk.there() == {"psp/1.csv", "done/psp/2.csv"}
    desk.fail.clear()
    assert await desk.folder.look() == 1
    assert desk.there() == {"done/psp/1.csv", "done/psp/2.csv"}


async def test_what_cannot_be_moved_is_not_imported_over_and_over(desk: Desk) -> None:
    desk.put("psp/day.csv")
    desk.put("done", "somebody's file where the folder would be")
    assert await desk.look_twice() + await desk.look_twice() == 0
    assert len(desk.taken) == 1
    assert desk.told == [("day.csv", "imported; it could not be moved: File exists")] or "could not be moved" in str(desk.told)
    assert (desk.root / "psp/day.csv").exists()


async def test_a_folder_that_is_not_there_has_nothing(tmp_path: Path) -> None:
    assert await Desk(tmp_path / "missing").look_twice() == 0
