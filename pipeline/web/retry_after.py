"""How long a server asks its clients to wait."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


def retry_after(value: str | None) -> float:
    """The seconds that a Retry-After header asks for, given as seconds or as a date; 0 without one."""
    if value is None:
        return 0.0
    if re.fullmatch(r"\s*[0-9]{1,18}(\.[0-9]{1,9})?\s*", value):
        return float(value)
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return 0.0
