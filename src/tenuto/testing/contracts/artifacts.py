"""What every artifact store must do.

```python
class TestMyArtifacts(ArtifactStoreContract):
    @pytest.fixture
    def stores(self, tmp_path):
        return MyHarness(tmp_path)         # an ArtifactStores
```
"""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from tenuto.core.artifacts import Artifact, ToolMetadata
from tenuto.core.canonical import EMPTY_DIGEST, digest
from tenuto.core.ids import RunId
from tenuto.errors import ArtifactConflictError, MissingArtifactError
from tenuto.ports.artifacts import ArtifactStore
from tenuto.testing.contracts.journal import refused

__all__ = ["ArtifactStoreContract", "ArtifactStores", "draft"]

RUN = RunId("r1")
AWKWARD_NAMES = (
    "report",
    "Report",
    "src/a.py",
    "../../etc/passwd",
    "..",
    ".",
    ".hidden",
    "",
    "/",
    "a%2Fb",
    "a/b",
    "nul\0inside",
    "white space\n",
    "umlaut-ä-日本",
    "n" * 5_000,
    "n" * 5_001,
    "1.json",
)


class ArtifactStores(Protocol):
    """One durable store, and the means to look at it as several processes would."""

    def open(self) -> ArtifactStore: ...


def draft(name: str = "report", run: RunId = RUN, **fields: Any) -> Artifact:
    """An entry as a writer hands it over: digest, size and version are for the store to fill in."""
    return Artifact(name=name, run=run, digest=EMPTY_DIGEST, size=0, version=0, **fields)


class ArtifactStoreContract:
    """Override the fixture `stores` (an ArtifactStores)."""

    # Blobs

    async def test_blobs_of_any_size_come_back(self, stores: ArtifactStores) -> None:
        bodies = [b"", b"x" * 1_024, bytes(range(256)) * 40_000]
        names = await stores.open().put_many(bodies)
        assert list(names) == [digest(body) for body in bodies]
        assert dict(await stores.open().get_many(names)) == dict(zip(names, bodies, strict=True))

    async def test_digests_come_in_the_order_of_the_bodies(self, stores: ArtifactStores) -> None:
        store = stores.open()
        bodies = [b"b", b"a", b"b", b"c"]
        assert list(await store.put_many(bodies)) == [digest(body) for body in bodies]
        assert list(await store.put_many([])) == []
        assert dict(await store.get_many([])) == {}

    async def test_racing_puts_of_one_digest(self, stores: ArtifactStores) -> None:
        body = b"same" * 5_000
        results = await asyncio.gather(*(stores.open().put_many([body, b"%d" % n]) for n in range(16)))
        assert {result[0] for result in results} == {digest(body)}
        name = digest(body)
        assert dict(await stores.open().get_many([name])) == {name: body}

    async def test_missing_blobs_are_named(self, stores: ArtifactStores) -> None:
        store = stores.open()
        (kept,) = await store.put_many([b"kept"])
        absent = digest(b"absent")
        assert list(await store.missing([absent, kept])) == [absent]
        assert absent in str(await refused(MissingArtifactError, store.get_many([kept, absent])))

    async def test_a_digest_is_no_path(self, stores: ArtifactStores) -> None:
        store = stores.open()
        for wrong in ("../../etc/passwd", "", "/", digest(b"x").upper(), digest(b"x") + "\n"):
            assert list(await store.missing([wrong])) == [wrong]  # type: ignore[list-item]  # not a Digest, on purpose
            await refused(MissingArtifactError, store.get_many([wrong]))  # type: ignore[list-item]  # as above

    # Entries

    async def test_the_store_fills_in_what_it_knows(self, stores: ArtifactStores) -> None:
        rich = draft(
            call="r1/fix/1/0",
            consuming_steps=("test",),
            inputs=(digest(b"in"),),
            labels={"kind": "patch"},
            media_type="text/x-diff",
            producing_agent="coder",
            producing_step="fix",
            schema=digest(b"schema"),
            tool_metadata=ToolMetadata(tool_name="diff", version="2", consuming_agents=("tester",)),
        )
        kept = await stores.open().put(rich, b"body", expected_version=0)
        assert (kept.digest, kept.size, kept.version) == (digest(b"body"), 4, 1)
        assert kept.artifact_id == "r1:report@1"
        assert kept.labels == {"kind": "patch"}
        assert await stores.open().get(RUN, "report") == (kept, b"body")
        assert list(await stores.open().entries(RUN)) == [kept]

    async def test_versions_are_kept_side_by_side(self, stores: ArtifactStores) -> None:
        store = stores.open()
        kept = [await store.put(draft(), b"%d" % n, expected_version=n) for n in range(12)]
        assert [entry.version for entry in kept] == list(range(1, 13))
        assert await store.get(RUN, "report") == (kept[-1], b"11")
        assert await store.get(RUN, "report", version=3) == (kept[2], b"2")
        assert list(await store.entries(RUN)) == kept

    async def test_equal_bytes_under_two_names_share_a_blob(self, stores: ArtifactStores) -> None:
        store = stores.open()
        one = await store.put(draft("one"), b"same", expected_version=0)
        two = await store.put(draft("two"), b"same", expected_version=0)
        assert one.digest == two.digest
        assert (await store.get(RUN, "two"))[1] == b"same"

    async def test_a_stale_expectation_names_both_writers(self, stores: ArtifactStores) -> None:
        store = stores.open()
        await store.put(draft(producing_step="first"), b"1", expected_version=0)
        for expected in (0, 2):
            error = await refused(
                ArtifactConflictError, store.put(draft(producing_step="second"), b"2", expected_version=expected)
            )
            assert "first" in str(error)
            assert "second" in str(error)
        assert (await store.get(RUN, "report"))[1] == b"1"
        assert len(await store.entries(RUN)) == 1

    async def test_racing_writers_have_one_winner_for_each_version(self, stores: ArtifactStores) -> None:
        handles = [stores.open() for _ in range(8)]
        for version in range(3):
            results = await asyncio.gather(
                *(handle.put(draft(), b"%d" % n, expected_version=version) for n, handle in enumerate(handles)),
                return_exceptions=True,
            )
            winners = [result for result in results if isinstance(result, Artifact)]
            assert len(winners) == 1, results
            assert all(isinstance(result, (Artifact, ArtifactConflictError)) for result in results)
            assert (await handles[0].get(RUN, "report"))[0] == winners[0]

    async def test_read_modify_write_loses_nothing(self, stores: ArtifactStores) -> None:
        async def count(store: ArtifactStore) -> None:
            for _ in range(5):
                while True:
                    try:
                        entry, data = await store.get(RUN, "counter")
                    except MissingArtifactError:
                        entry, data = draft("counter"), b"0"
                    try:
                        await store.put(draft("counter"), b"%d" % (int(data) + 1), expected_version=entry.version)
                    except ArtifactConflictError:
                        continue
                    break

        await asyncio.gather(*(count(stores.open()) for _ in range(4)))
        assert (await stores.open().get(RUN, "counter"))[1] == b"20"

    async def test_names_are_data_not_paths(self, stores: ArtifactStores) -> None:
        store = stores.open()
        for name in AWKWARD_NAMES:
            await store.put(draft(name), name.encode(), expected_version=0)
        for name in AWKWARD_NAMES:
            entry, data = await store.get(RUN, name)
            assert (entry.name, data) == (name, name.encode())
        assert [entry.name for entry in await store.entries(RUN)] == sorted(AWKWARD_NAMES)
        for run in ("../r1", "..", "a/b", "R1"):
            await store.put(draft(run=RunId(run)), run.encode(), expected_version=0)
            assert (await store.get(RunId(run), "report"))[1] == run.encode()
        assert len(await store.entries(RUN)) == len(AWKWARD_NAMES)

    async def test_missing_entries_are_named(self, stores: ArtifactStores) -> None:
        store = stores.open()
        await store.put(draft(), b"1", expected_version=0)
        for asking in (
            store.get(RUN, "other"),
            store.get(RUN, "report", version=2),
            store.get(RUN, "report", version=0),
            store.get(RUN, "report", version=-1),
            store.get(RunId("r2"), "report"),
        ):
            await refused(MissingArtifactError, asking)
        assert list(await store.entries(RunId("r2"))) == []

    # Deletion

    async def test_a_deleted_run_is_gone_and_its_blobs_are_not(self, stores: ArtifactStores) -> None:
        store = stores.open()
        kept = await store.put(draft(), b"1", expected_version=0)
        other = await store.put(draft(run=RunId("r2")), b"1", expected_version=0)
        await store.delete_run(RUN)
        await store.delete_run(RUN)
        await stores.open().delete_run(RUN)
        await refused(MissingArtifactError, store.get(RUN, "report"))
        assert list(await stores.open().entries(RUN)) == []
        assert await store.get(RunId("r2"), "report") == (other, b"1")
        assert list(await store.missing([kept.digest])) == []
        await refused(MissingArtifactError, stores.open().put(draft(), b"2", expected_version=0))
        await refused(MissingArtifactError, store.put(draft("new"), b"2", expected_version=0))
        assert list(await store.entries(RUN)) == []

    async def test_writers_that_race_with_a_deletion_vanish_or_are_refused(self, stores: ArtifactStores) -> None:
        for n in range(6):
            run = RunId(f"race-{n}")
            handles = [stores.open() for _ in range(5)]
            await handles[0].put(draft("first", run), b"1", expected_version=0)
            results = await asyncio.gather(
                *(handle.put(draft(f"n{k}", run), b"2", expected_version=0) for k, handle in enumerate(handles)),
                stores.open().delete_run(run),
                *(handle.put(draft(f"late{k}", run), b"3", expected_version=0) for k, handle in enumerate(handles)),
                return_exceptions=True,
            )
            assert all(isinstance(result, (Artifact, MissingArtifactError, type(None))) for result in results), (
                results
            )
            assert list(await stores.open().entries(run)) == []
