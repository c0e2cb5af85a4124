"""The AWS emulator in the foreground: ``python -m examples.standins.aws --port 4566 --home .demo/aws``."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

from examples.standins.aws.emulator import AwsEmulator, EmulatorFailed


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m examples.standins.aws", description=__doc__)
    parser.add_argument("--port", type=int, help="default: a free one")
    parser.add_argument(
        "--home", type=Path, default=Path(".demo/aws"), help="log and data (default: .demo/aws)"
    )
    parser.add_argument(
        "--address", default="127.0.0.1", help="0.0.0.0 in a container (default: %(default)s)"
    )
    parser.add_argument("--name", default="127.0.0.1", help="the address by which others reach it")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        with AwsEmulator(options.name, options.address).start(options.home, options.port) as aws:
            print(f"AWS on {aws.endpoint_url} (log: {aws.log_path}); Ctrl-C stops it", flush=True)
            print(
                f"export AWS_ENDPOINT_URL={aws.endpoint_url} AWS_ACCESS_KEY_ID=111122223333"
                " AWS_SECRET_ACCESS_KEY=local AWS_DEFAULT_REGION=eu-west-1",
                flush=True,
            )
            return aws.wait()
    except KeyboardInterrupt:
        return 130
    except EmulatorFailed as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
