"""How numbers are written on the page: as many digits as they deserve, never more."""

import math

THIN = "\u202f"
MINUS = "−"


def error(value: float) -> str:
    """A sum of squares, to three digits or the whole number: 0.0123, 14.6, 470, 30 064."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else str(value)
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    if digits > 6:
        return f"{value:.2e}"
    return f"{value:,.{digits}f}".replace(",", THIN).replace("-", MINUS)


def percent(share: float) -> str:
    """0.02 -> `2 %`."""
    return f"{100 * share:.4g}{THIN}%"


def fold(ratio: float) -> str:
    """21.3 -> `21-fold`, 6.14 -> `6.1-fold`."""
    return f"{error(ratio) if ratio >= 100 else f'{ratio:.0f}' if ratio >= 10 else f'{ratio:.1f}'}-fold"


def times(ratio: float) -> str:
    """0.312 -> `0.31`, 20.17 -> `20`."""
    return error(ratio) if ratio >= 100 else f"{ratio:.2g}" if ratio >= 10 else f"{ratio:.2f}"


def decibel(value: float) -> str:
    """29.24 -> `29.2`."""
    return f"{value:.1f}".replace("-", MINUS)


def general(value: object) -> str:
    """Any setting or check as text: numbers short, lists joined, nothing as a dash."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | tuple):
        return ", ".join(general(item) for item in value)
    return str(value)


def listing(items: list[str]) -> str:
    """a, b and c."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"
