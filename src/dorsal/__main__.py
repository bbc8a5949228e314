"""`python -m dorsal`."""

from __future__ import annotations

from dorsal.cli import main

if __name__ == "__main__":  # worker processes import this module too
    main()
