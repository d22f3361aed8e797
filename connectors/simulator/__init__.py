"""A PSP that never was, without a name: its books, faults, test cards and shopper's page. Pure; served by `payorch.simulators`."""
