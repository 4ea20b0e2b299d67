"""`python -m fluxsmith`: the same as the `fluxsmith` command."""

from fluxsmith.cli import main

if __name__ == "__main__":
    main()
