"""These are the log calls of the vendor's example program. Only the program's import was changed.

Run `voyage-logger dev`, set the three environment variables that it prints, and run this file.
"""

from voyage_logger import VoyageLogger

logger = VoyageLogger(app_name="my-application", environment="production")

logger.info(
    message="User login successful",
    event_name="login_success",
    event_flow_name="authentication",
    app_user_id="user_123",
    app_username="john_doe",
    meta_data={"ip": "192.168.1.1"},
)

logger.critical(
    message="Payment gateway timeout",
    event_name="payment_error",
    event_flow_name="checkout",
    app_user_id="user_123",
    add_ticket=True,
    meta_data={"gateway": "stripe", "amount": 99.99},
)

logger.flush()
