"""Where it runs: state, leases, the calendar, stacks, scorching, seeds, e2e, the night."""
