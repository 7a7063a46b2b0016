"""Prints the lines of requirement files (each `name==version`) that the running interpreter does not satisfy."""

import sys
from importlib import metadata


def satisfied(name, version):
    try:
        installed = metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    # As in PEP 440, a pin without a local part accepts any: 2.11.0 is met by 2.11.0+cpu.
    return version in (installed, installed.split("+")[0])


def main(paths):
    for path in paths:
        with open(path, encoding="utf-8") as file:
            lines = [line.split("#")[0].strip() for line in file]
        for line in filter(None, lines):
            name, separator, version = line.partition("==")
            if not separator:
                sys.exit(f"{path}: '{line}' is not of the form name==version")
            if not satisfied(name, version):
                print(line)


if __name__ == "__main__":
    main(sys.argv[1:])
