"""AWS on 127.0.0.1: ministack with what Daybreak needs on top, see README.md."""
