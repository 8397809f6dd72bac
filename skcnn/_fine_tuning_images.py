"""What fine-tuned estimators read: arrays and image files."""

import numpy as np
import torch
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_feature_names, check_is_fitted

from ._base import MAX_SEED, BaseCNN
from ._feature_backbones import (
    backbone_name,
    check_uses,
    is_fitted_estimator,
    is_own,
    needs_fit,
    no_preprocessing,
    ready_backbone,
    scaled_backbone,
    untrained_backbone,
)
from .data import (
    ImageFiles,
    as_image_list,
    check_same_shape,
    decode_files,
    find_layout,
    is_image_files,
)
from .data.image_files import DecodedImages
from .features import PublishedScaling


class PretrainedInput(BaseCNN):
    """The images of an estimator that has a backbone.

    Warning: this class is not meant to be used, its subclasses are.
    """

    @property
    def preprocessing_(self):
        """What was published with the weights, None where a scale was learnt."""
        return self._backbone.preprocessing

    def _check_training_data(self, X, y, first):
        if first:
            self._layout = None
        if is_image_files(X):
            return self._check_files(X, y, first)
        X, y = super()._check_training_data(X, y, first)
        if first:
            self._backbone = self._find_backbone(X)
            if self._backbone.scaler is None:
                self._backbone.check_layout(self._layout)
            else:
                self._layout = self._backbone.layout
                check_same_shape(self, X, self._layout.sample_shape)
        return X, y

    def _check_files(self, X, y, first):
        """Return the pixels of image files, and y validated."""
        _check_feature_names(self, X, reset=first)
        sources = as_image_list(X)
        y = self._check_targets(sources, y)
        if first:
            self._backbone = self._find_backbone(sources)
        return decode_files(self._image_files(sources), self._file_shape), y

    @property
    def _file_shape(self):
        """Shape of the pixels of a file, channels last."""
        return *self.preprocessing_.crop_size, self.preprocessing_.n_channels

    def _image_files(self, sources):
        """Return image files, to be read in the size of the network."""
        published = self.preprocessing_
        if published is None:
            raise no_preprocessing(self._backbone.name, sources)
        return ImageFiles(
            sources,
            published.resize_image,
            short_side=published.short_side,
            mode="L" if published.n_channels == 1 else "RGB",
        )

    def _check_shape(self, X):
        if self._layout is not None:
            super()._check_shape(X)
            return
        self._backbone.check_layout(self._find_layout(X))

    def _find_layout(self, X):
        return find_layout(
            X.shape[1:], self.image_shape, self.channel_axis, images_only=True
        )

    def _scaling(self, X):
        published = self.preprocessing_
        if published is None:
            return self.scaler_
        if isinstance(X, DecodedImages):
            published = published.with_image_size(published.crop_size)  # as they are
            layout = find_layout(self._file_shape, channel_axis=-1)
        else:
            layout = self._layout or self._find_layout(X)
        return PublishedScaling(published, layout, X.dtype)

    def _learn_scale(self, samples):
        if self.preprocessing_ is not None:
            return
        if is_fitted_estimator(self.backbone):
            self.scaler_ = self._backbone.scaler
        else:
            super()._learn_scale(samples)

    @property
    def _predict_batch_size(self):
        return self._backbone.batch_size(next(self.module_.parameters()).device)

    def _outputs(self, X):
        check_is_fitted(self)
        if not is_image_files(X):
            return super()._outputs(X)
        _check_feature_names(self, X, reset=False)
        files = self._image_files(as_image_list(X))
        size = self._predict_batch_size
        chunks = (
            np.arange(i, min(i + size, len(files))) for i in range(0, len(files), size)
        )
        return np.concatenate(
            [
                self._compute_outputs(batch.numpy().view(DecodedImages))
                for _, batch in files.batches(chunks)
            ]
        )

    def _find_backbone(self, X):
        """Return the network that `backbone` names or is, its module shared."""
        check_uses(self.backbone, self.weights, self.preprocessing, self.image_size)
        is_named = isinstance(self.backbone, str)
        if not needs_fit(self.backbone, self.weights, self.preprocessing):
            return ready_backbone(
                self.backbone, self.weights, self.preprocessing, self.image_size
            )
        if not is_named and not isinstance(self.backbone, torch.nn.Module):
            raise TypeError(
                f"backbone is a {type(self.backbone).__name__}, expected the name of a "
                "network, a torch.nn.Module, or a fitted estimator of this package."
            )
        seed = check_random_state(self.random_state).randint(MAX_SEED)
        if is_named and not is_own(self.backbone):
            return untrained_backbone(self.backbone, self.image_size, seed)
        if isinstance(X, list):
            raise no_preprocessing(backbone_name(self.backbone), X)
        return scaled_backbone(
            self.backbone, X, self.image_shape, self.channel_axis, seed
        )
