"""What all of acme shares."""
