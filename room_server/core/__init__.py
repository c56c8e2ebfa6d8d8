"""The rules of the domain (docs/domain.md) as pure functions and tables. No async, no clock, no I/O."""
