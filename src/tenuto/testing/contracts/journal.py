"""What every journal store must do.

```python
class TestMyJournal(JournalContract):
    @pytest.fixture
    async def stores(self, tmp_path):
        harness = MyHarness(tmp_path)      # a JournalStores
        yield harness
        await harness.close()
```
"""

from __future__ import annotations

from tenuto.testing.contracts.journal_accounts import JournalAccountsContract
from tenuto.testing.contracts.journal_keeping import JournalKeepingContract
from tenuto.testing.contracts.journal_records import JournalRecordsContract
from tenuto.testing.contracts.journal_stores import RUN, JournalStores, chained, head_of, read_all, refused, started
from tenuto.testing.contracts.journal_writers import JournalWritersContract

__all__ = ["RUN", "JournalContract", "JournalStores", "chained", "head_of", "read_all", "refused", "started"]


class JournalContract(
    JournalRecordsContract, JournalWritersContract, JournalKeepingContract, JournalAccountsContract
):
    """Override the fixture `stores` (a JournalStores)."""
