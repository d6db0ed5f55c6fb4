"""The command line that the examples share: show the picture, or save it."""

import argparse

import matplotlib.pyplot as plt


def show(draw, text, **options):
    """Show the figure that ``draw(**options)`` returns, or save it with ``--save FILE``.

    Options, whole numbers, have the defaults that are given and can be changed as ``--name N``.
    """
    parser = argparse.ArgumentParser(description=text.partition("\n")[0])
    parser.add_argument("--save", metavar="FILE", help="write the picture instead of showing it")
    for name, default in options.items():
        parser.add_argument(f"--{name}", type=int, default=default, help=f"default: {default}")
    given = vars(parser.parse_args())
    file = given.pop("save")
    figure = draw(**given)
    figure.savefig(file, dpi=150) if file else plt.show()
