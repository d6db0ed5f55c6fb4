"""Public names are where messages, docstrings and pickles say, and shared ones mean the same."""

import doctest
import inspect
import pydoc
import re
from itertools import combinations
from pathlib import Path

import pytest

import sklearn_ntk
from sklearn_ntk import (
    NNGPKernel,
    NTKClassifier,
    NTKClassifierCV,
    NTKKernel,
    NTKRandomFeatures,
    NTKRegressor,
    NTKRegressorCV,
)

ROOT = Path(__file__).resolve().parents[2]
CLASSES = [getattr(sklearn_ntk, name) for name in sklearn_ntk._HOMES]
KINDS = (
    {NNGPKernel, NTKKernel},
    {NTKClassifier, NTKRegressor},
    {NTKClassifierCV, NTKRegressorCV},
)
"""Classes whose shared parameters have the same text; others share its first sentence."""

OF_THE_TASK = {"kernel", "alpha", "training_time", "scoring", "combine"}
"""Parameters whose text tells what they mean for regression, or for classification."""

OF_THE_TRANSFORMER = {"depth", "n_components", "random_state"}
"""Parameters that random features have as scikit-learn's transformers, or of hidden layers."""


def resolve(path):
    """The object that a dotted name leads to, by attributes of the package alone.

    None for one of an extra that is not installed.
    """
    value = sklearn_ntk
    for name in path.split(".")[1:]:
        try:
            value = getattr(value, name)
        except ImportError as error:
            assert "needs the extra" in str(error)
            return None
    return value


# --- Shared parameters ---------------------------------------------------------------------------


def documentation(cls):
    """What the docstring says of each parameter, from its type on."""
    text = inspect.getdoc(cls).partition("Parameters\n----------\n")[2].partition("\n\n")[0]
    items = re.findall(r"^(\w[\w, ]*?) : (.*(?:\n    .*)*)", text, re.MULTILINE)
    return {name: item for names, item in items for name in names.split(", ")}


def pairs_that_share():
    """All pairs of classes that have a parameter of the same name."""
    return [
        pytest.param(*pair, name, id=f"{pair[0].__name__}-{pair[1].__name__}-{name}")
        for pair in combinations(CLASSES, 2)
        for name in inspect.signature(pair[0]).parameters
        if name in inspect.signature(pair[1]).parameters
        and not (NTKRandomFeatures in pair and name in OF_THE_TRANSFORMER)
    ]


@pytest.mark.parametrize(("cls", "other", "name"), pairs_that_share())
def test_shared_parameters(cls, other, name):
    first, second = (inspect.signature(each).parameters[name] for each in (cls, other))
    assert first.default == second.default or "auto" in (first.default, second.default)
    if first.default != second.default:
        return  # the one may choose, for which the other needs a name
    if name in OF_THE_TASK:
        return
    texts = [" ".join(documentation(each)[name].split()) for each in (cls, other)]
    if not any({cls, other} <= kind for kind in KINDS):
        texts = [re.split(r"[.;] |\.$", text, maxsplit=1)[0] for text in texts]
    assert len({text.replace("Classifier", "Regressor") for text in texts}) == 1


@pytest.mark.parametrize("cls", CLASSES)
def test_documentation_of_parameters(cls):
    """All are documented, in their order, with their defaults."""
    found, parameters = documentation(cls), inspect.signature(cls).parameters
    assert list(found) == list(parameters)
    for name, text in found.items():
        head, is_told, default = text.split("\n")[0].partition("default=")
        value = parameters[name].default
        if is_told:
            assert default == repr(value).replace("'", '"')
        elif value is inspect.Parameter.empty:
            assert not head.endswith("optional")
        else:
            assert head.endswith("optional") if value is None else name.endswith("_bounds")


def test_kernels_differ_in_frozen_layers():
    """The NNGP has none, and says so as Python does."""
    names = list(inspect.signature(NTKKernel).parameters)
    names.remove("n_frozen")
    assert list(inspect.signature(NNGPKernel).parameters) == names
    with pytest.raises(TypeError, match="unexpected keyword argument 'n_frozen'"):
        NNGPKernel(n_frozen=1)


# --- Places --------------------------------------------------------------------------------------


def members(module):
    """Public members of a module, but for those of an extra that is not installed."""
    for name in getattr(module, "__all__", ()):
        try:
            yield getattr(module, name)
        except ModuleNotFoundError as error:
            assert "needs the extra" in str(error)


@pytest.mark.parametrize("name", sklearn_ntk.__all__)
def test_classes_and_functions_say_where_they_are(name):
    """Pickles look there, `help` and `repr` print it."""
    found = getattr(sklearn_ntk, name)
    assert name in dir(sklearn_ntk)
    values = [found, *members(found)]
    for each in values:
        if inspect.isclass(each) or inspect.isroutine(each):
            assert "._" not in each.__module__
            assert resolve(f"{each.__module__}.{each.__qualname__}") is each


@pytest.mark.slow
@pytest.mark.parametrize("cls", CLASSES)
def test_examples_of_the_classes(cls):
    """Doctests that are not collected from the files, as the classes say they are elsewhere."""
    runner, report = doctest.DocTestRunner(), []
    for test in doctest.DocTestFinder(exclude_empty=True).find(cls, module=False):
        runner.run(test, out=report.append)
    assert runner.tries > 0 and not report, "".join(report)


@pytest.mark.parametrize("model", [NTKRegressor(), NTKClassifier()])
def test_link_to_the_documentation(model, monkeypatch):
    monkeypatch.setattr(type(model), "_doc_link_template", "https://example.org/doc")
    assert model._get_doc_link() == "https://example.org/doc"
    assert 'href="https://example.org/doc"' in model._repr_html_()


def test_places_that_texts_name():
    """A message, a docstring or a page that sends the user somewhere sends it to what exists."""
    files = [*(ROOT / "sklearn_ntk").rglob("*.py"), *(ROOT / "doc").glob("*.md")]
    text = "\n".join(file.read_text(encoding="utf-8") for file in [*files, ROOT / "README.md"])
    modules = "|".join(sklearn_ntk._SUBMODULES)
    places = {f"sklearn_ntk.{name}" for name in re.findall(rf"`((?:{modules})\.[A-Z]\w*)`", text)}
    places |= set(re.findall(r"\bsklearn_ntk(?:\.[A-Za-z]\w*)+", text))
    assert {"sklearn_ntk.gram.gram", "sklearn_ntk.dynamics.Training"} <= places
    for place in sorted(places):
        try:
            resolve(place)
        except ModuleNotFoundError as error:  # of what needs torch
            assert "needs the extra" in str(error)
    others = set(re.findall(r"\bsklearn(?:\.\w+)+", text))
    assert "sklearn.kernel_approximation.Nystroem" in others
    assert [place for place in others if pydoc.locate(place) is None] == []
