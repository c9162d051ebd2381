"""Bounds that keep memory flat whatever a file holds."""

from __future__ import annotations

BLOCK_BYTES = 8 * 2**20
"""Most bytes of text that are looked at together."""
LEAST_BLOCK_BYTES = 256
MAX_RECORD_BYTES = 16 * 2**20
"""Of one record, quoted line breaks included."""
MAX_COLUMNS = 10_000
MAX_NAME_BYTES = 200
"""Of a file; leaves room for numbers, reasons and temporary names, as systems allow 255."""
MAX_CHUNKS = 10_000
MAX_EXPANSION = 200
"""Bytes out of one compressed byte, past the first `EXPANSION_FREE_BYTES`; tables stay below 50."""
EXPANSION_FREE_BYTES = 64 * 2**20
BATCH_CELLS = 2**21
"""Cells of a row group, and of the batches that are sorted."""
RUN_BYTES = 48 * 2**20
"""Of what is sorted in memory at a time."""
PIECES_OF_RUN = 64
MAX_RUNS = 64
"""Sorted runs that are merged together; each has up to two pieces in memory."""
THREADS = 3
"""Pieces that are worked on at once; Polars spreads the work of each over the cores by itself."""
PART_BYTES = 16 * 2**20
"""Of rows that are kept on disk for a while, in one file."""
KEPT_BYTES = 128 * 2**20
"""Of rows that need not go to disk, where there is one table only."""
SYNC_BYTES = 64 * 2**20
"""Of a file being written that are not yet safe on disk."""
