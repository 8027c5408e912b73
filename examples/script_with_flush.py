"""At its end, this script checks whether all its log entries have arrived."""

import sys

from voyage_logger import VoyageLogger


def import_rows(logger: VoyageLogger, rows: list[str]) -> None:
    """Import the valid rows, and log an entry for each row that is not valid."""
    for number, row in enumerate(rows, start=1):
        try:
            int(row)
        except ValueError:
            logger.exception("Row %d is not a number", number, event_name="row_skipped")
    logger.info("Import finished", event_name="import_done", meta_data={"rows": len(rows)})


def main() -> int:
    """Import the rows, and return 1 if not all log entries have arrived."""
    logger = VoyageLogger("nightly-import")
    import_rows(logger, ["1", "2", "three", "4"])
    result = logger.flush(timeout=1)
    print(f"{result.delivered} entries delivered, {result.pending} still waiting")
    return 0 if result else 1


if __name__ == "__main__":
    sys.exit(main())
