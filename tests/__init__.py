"""The tests, as a package of that name: libraries exist that install one of theirs beside themselves, and ours is the one that is meant."""
