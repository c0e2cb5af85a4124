"""What Daybreak costs, beside what it is compared with. `make bench` runs all of it."""
