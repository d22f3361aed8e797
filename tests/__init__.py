"""All tests. A regular package, because some libraries install one of the same name, which would come before a mere folder."""
