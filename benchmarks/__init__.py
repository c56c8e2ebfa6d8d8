"""Speed and memory, measured beside a floor and peers in one run: `make bench`. Never part of the tests."""
