"""One self-contained page from the result files of one or more runs; never loads a network."""

from ctrobust.report.page import write_report

__all__ = ["write_report"]
