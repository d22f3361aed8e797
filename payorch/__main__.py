"""`python -m payorch`: the same as the `payorch` command, for where the script is not on the path."""

from payorch.cli import main

if __name__ == "__main__":
    main()
