"""GitHub on one machine: real git over smart HTTP, and the part of the REST API that is computed from it."""
