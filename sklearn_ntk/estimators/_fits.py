"""Fits to rows that are there, or to the parts of a stream: a first one, and those after it."""

from functools import partial

import numpy as np
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets

from .._compat import _fit_context
from .._runtime.device import check_host
from .._runtime.notices import one_notice
from ..solvers._repeats import error_of
from ..solvers._units import normalise, scaled, standardise
from ._checks import check_weights
from ._choice import choose, choose_by_squares, kernels_of
from ._choice_of_solver import can_stream, is_streaming, warn_if_fitted
from ._classes import given_classes, indicators, read_classes, targets_of
from ._ensemble import start_of
from ._equal_rows import merge, pairs_of
from ._fitting import all_or_nothing, with_blas_for_rows
from ._influence import Samples
from ._losses import ClassRows, fitted_scores, loss_of
from ._observations import observe
from ._places import read_data
from ._quiet import quiet_kernel
from ._rivals import Belief
from ._solvers import solver_of
from ._squares import fit_squares, fitted_ridges
from ._uncertainty import find_spread


class RegressorFits:
    """Mixin: fits of `NTKRegressor`."""

    @available_if(can_stream)
    @_fit_context(prefer_skip_nested_validation=True)
    @one_notice()
    @all_or_nothing
    @with_blas_for_rows
    def partial_fit(self, X, y, sample_weight=None):
        """Fit the network to a part of the data, in addition to all parts before.

        The first call chooses the network, its features, the centres, and the ridges to try (one if
        ``alpha`` is given), as `fit` does with ``solver="nystroem"``. Later calls add their rows to
        sums, whose memory does not grow. This is ridge regression with the kernel of rows;
        ``solver`` must be "nystroem" or "auto". A fit by another solver is replaced, with a
        warning.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows. The first part should be a sample of all, because the centres are drawn from it.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets.
        sample_weight : array-like of shape (n_samples,), optional
            Weights.

        Returns
        -------
        self
        """
        check_host([X, y, sample_weight], "Fits to parts of the data")
        if not is_streaming(self):
            warn_if_fitted(self)
            return self._fit(X, y, sample_weight, is_stream=True)
        X, targets, weights = self._read(X, y, sample_weight, reset=False)
        if targets.shape[1] != len(self._units.shift):
            raise ValueError(
                f"y must have the number of outputs of the first part, {len(self._units.shift)}; "
                f"got {targets.shape[1]}."
            )
        targets = scaled(targets, -self._units.exponents) - self._units.shift
        path = solver_of(self).absorb(self, X, targets, scaled(weights, -self._unit))
        self._centers, held = path.solution.details, path.solution.details.held
        self._is_stream = True
        attributes = fitted_ridges(self, path, None, self._unit)
        self._finish((path, path.value, attributes), held.Y, held.weights)
        return self

    def _read(self, X, y, sample_weight, reset=True):
        """Checked rows, targets (n, k) and weights (n,)."""
        X, y = read_data(self, X, y, reset=reset, multi_output=True, y_numeric=True)
        if reset:
            self._is_flat = y.ndim == 1
        targets = y.reshape(len(y), -1).astype(np.float64, copy=False)
        return X, targets, check_weights(sample_weight, X)

    def _fit(self, X, y, sample_weight, is_stream=False):
        """Fit to data, or to the first part of a stream."""
        X, targets, weights = self._read(X, y, sample_weight)
        targets, self._units = standardise(targets, weights)
        weights, unit = normalise(weights)
        kernels, self._unit, self._is_stream = kernels_of(self), unit, is_stream
        if self.uncertainty == "ensemble":
            start_of(kernels[0])  # before the work, if it has none
        kept, group = self._keep_rows(kernels[0], X, weights)
        operator = self._begin(X, targets.shape[1], is_stream)
        self._samples = Samples(len(X), kept, group, weights[kept], targets[kept])
        Y, weights, self._scatter, repeats = merge(targets[kept], weights[kept], group)
        self._new_weight = self._scatter.unit
        fits = [partial(one, self, unit=unit) for one in (fit_squares, solver_of(self).fit)]
        found, ties = choose(self, kernels, fits, operator, Y, weights, error_of(repeats))
        self._finish(found, Y, weights, ties)
        self._observations = None
        if solver_of(self).is_exact:
            pairs = pairs_of(self._samples.targets, self._samples.weights, group)
            solution = found[0].solution  # with the coefficients of folds where these judge
            dual = solution.residuals * solution.precision[:, None]
            seen = solution._replace(dual=dual)
            self._observations = observe(pairs, Y, weights, found[1], seen)
        return self

    def _finish(self, found, Y, weights, ties=()):
        """Set what follows from a `Path`, its ridge and its attributes, for merged rows.

        ``ties`` are as of `choose`.
        """
        path, ridge, attributes = found
        vars(self).update(attributes)
        self._dual, self._constant = path.solution.dual, path.solution.intercept
        is_local = self._dual is None
        self.dual_coef_ = None if is_local else self._units.differences(self._dual)
        self.intercept_ = None if is_local else self._units.values(self._constant)
        self._posterior, self._spread = self._believe(path, ridge, Y, weights)
        is_plain = self.training_time is None and self.uncertainty == "posterior"
        self._rivals = tuple(self._rival(*tie, Y, weights) for tie in ties if is_plain)
        self._targets = Y
        self.amplitude_ = self._units.variances(self._spread.amplitude)
        self.noise_ = scaled(self._units.variances(self._spread.noise), self._unit)

    def _believe(self, path, ridge, Y, weights):
        """`Posterior` and `Spread` of a fit to merged rows."""
        posterior, precision = solver_of(self).posterior(self, weights, ridge, path.solution)
        solution = path.solution._replace(precision=precision)
        if len(solution.residuals) == len(Y):
            solution = solution._replace(rows=None)
        solution = solution.among(self._judges)
        is_noisy = self.noise == "auto"
        return posterior, find_spread(solution, Y, weights, ridge, self._scatter, is_noisy)

    def _rival(self, share, candidate, Y, weights):
        """The `Belief` of a `Candidate`."""
        path, ridge, _ = candidate.fit
        fitted = path.solution.dual, path.solution.intercept
        kernel, believed = quiet_kernel(candidate.kernel), self._believe(path, ridge, Y, weights)
        return Belief(share, kernel, *fitted, *believed)

    def _is_spectral(self):
        return super()._is_spectral() or self.uncertainty == "ensemble"

    def _needs_matrix(self):
        is_ensemble = self.uncertainty == "ensemble"
        return super()._needs_matrix() or ("uncertainty='ensemble'" if is_ensemble else None)


class ClassifierFits:
    """Mixin: fits of `NTKClassifier`."""

    _of_loss = ()
    """Names of the attributes that the loss of the last fit has set."""

    @available_if(can_stream)
    @_fit_context(prefer_skip_nested_validation=True)
    @one_notice()
    @all_or_nothing
    @with_blas_for_rows
    def partial_fit(self, X, y, classes=None, sample_weight=None):
        """Fit the network to a part of the data, in addition to all parts before.

        As `NTKRegressor.partial_fit`, for ``loss="squared_error"``.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows. The first part should be a sample of all, because the centres are drawn from it.
        y : array-like of shape (n_samples,)
            Labels.
        classes : array-like of shape (n_classes,), optional
            All classes; needed at the first call if its part lacks some of them.
        sample_weight : array-like of shape (n_samples,), optional
            Weights.

        Returns
        -------
        self
        """
        check_host([X, y, sample_weight], "Fits to parts of the data")
        if isinstance(self.class_weight, str):
            raise ValueError(
                "class_weight='balanced' needs all rows at once: give partial_fit a dictionary of "
                "the weights of the classes."
            )
        if not is_streaming(self):
            warn_if_fitted(self)
            return self._fit(X, y, sample_weight, classes, is_stream=True)
        X, y, weights = self._read(X, y, sample_weight, reset=False)
        if classes is not None and not np.array_equal(given_classes(classes), self.classes_):
            raise ValueError(
                f"classes must be those of the first part, {self.classes_.tolist()}; got "
                f"{given_classes(classes).tolist()}."
            )
        targets, weights = targets_of(y, weights, self._labels, self.class_weight)
        path = solver_of(self).absorb(self, X, targets, scaled(weights, -self._unit))
        self._centers, held = path.solution.details, path.solution.details.held
        path = path._replace(solution=path.solution._replace(rows=None))
        attributes = fitted_ridges(self, path, None, self._unit)
        vars(self).update(fitted_scores(path, attributes, held.Y, held.weights))
        return self

    def _read(self, X, y, sample_weight, reset=True):
        """Checked rows, labels and weights."""
        X, y = read_data(self, X, y, reset=reset)
        check_classification_targets(y)
        return X, y, check_weights(sample_weight, X)

    def _fit(self, X, y, sample_weight, classes=None, is_stream=False):
        """Fit to data, or to the first part of a stream."""
        X, y, weights = self._read(X, y, sample_weight)
        targets, weights = self._read_labels(y, weights, classes, is_stream)
        for name in self._of_loss:
            delattr(self, name)
        loss = loss_of(self)
        loss.check(self)
        weights, self._unit = normalise(weights)
        kept, group = self._keep_rows(kernels_of(self)[0], X, weights)
        operator = self._begin(X, targets.shape[1], is_stream)
        solver_of(self).check_classes(self, len(self._labels))
        targets, weights = targets[kept], weights[kept]
        self._samples = Samples(len(y), kept, group, weights, targets)
        rows = self._choose_network(ClassRows(operator, targets, weights, group, self._unit))
        attributes = loss.fit(self, rows)
        vars(self).update(attributes, _of_loss=tuple(attributes), _loss=self.loss)
        return self

    def _read_labels(self, y, weights, classes, is_stream):
        """Set ``classes_``; targets (n, k) of the labels, and weights times those of the classes.

        ``classes`` are those that the first part of a stream was given, or None.
        """
        if classes is not None:
            classes = given_classes(classes)
            self._set_classes(classes, classes)
            return targets_of(y, weights, classes, self.class_weight)
        name = type(self).__name__
        classes, known, targets, weights = read_classes(y, weights, self.class_weight, name)
        if is_stream:  # later parts may give the others weight
            known, targets = classes, indicators(y, classes)
        self._set_classes(classes, known)
        return targets, weights

    def _choose_network(self, rows):
        """Set the network and its features, by `choose_by_squares`; the `ClassRows` for them."""
        Y, weights, _, repeats = rows.merged()
        blind = choose_by_squares(self, Y, weights, error_of(repeats))
        if self.kernel_ is None:
            return rows
        return rows._replace(operator=self._operator(self.kernel_, self.X_fit_), blind=blind)

    def _is_spectral(self):
        return super()._is_spectral() or loss_of(self).is_spectral

    def _needs_matrix(self):
        is_other = not loss_of(self).is_squares
        return super()._needs_matrix() or (f"loss={self.loss!r}" if is_other else None)
