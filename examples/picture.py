"""The command line that the examples share: show the picture, or save it."""

import argparse

import matplotlib.pyplot as plt


def show(draw, text):
    """Show the figure that ``draw()`` returns, or save it with ``--save FILE``."""
    parser = argparse.ArgumentParser(description=text.partition("\n")[0])
    parser.add_argument("--save", metavar="FILE", help="write the picture instead of showing it")
    file = parser.parse_args().save
    figure = draw()
    figure.savefig(file, dpi=150) if file else plt.show()
