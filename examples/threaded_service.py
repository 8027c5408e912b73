"""A service whose threads share one logger. At exit, the logger sends all entries."""

from concurrent.futures import ThreadPoolExecutor

from voyage_logger import VoyageError, VoyageLogger


def alert(error: VoyageError) -> None:
    """Print the report of a failed delivery or a loss. A real service would alert an operator."""
    print(f"logging is in trouble: {error}")


logger = VoyageLogger("order-service", on_error=alert)


def handle(order: int) -> None:
    """Handle one order. Each log entry names the order or the user."""
    logger.info("Order received", event_name="order_received", app_user_id=f"user_{order % 7}")
    if order % 50 == 0:
        logger.error("Stock is empty", event_name="out_of_stock", meta_data={"order": order})


def main() -> None:
    """Handle two hundred orders with eight threads."""
    with ThreadPoolExecutor(max_workers=8) as pool:
        list(pool.map(handle, range(200)))
    print(f"{logger.stats().accepted} entries accepted")


if __name__ == "__main__":
    main()
