"""The rules of the domain: pure functions and tables. No async, no clock, no I/O (`spec` = docs/domain.md)."""
