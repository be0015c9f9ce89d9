"""``python -m recaudit``: the command line."""

from recaudit.cli import main

if __name__ == "__main__":
    main()
