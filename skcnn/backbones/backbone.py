"""Networks of the catalogue, with their published weights."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from ..modules import note_recipe
from .download import download_weights
from .preprocessing import Preprocessing
from .weights import load_weights


@dataclass(frozen=True)
class BackboneInfo:
    """Row of the list of backbones.

    Parameters
    ----------
    name : str
        Name, the value of the parameter `backbone`.

    library : str
        "installed", "skcnn", "torchvision" or "timm".

    year : int or None
        Year of the paper.

    ilsvrc : int or None
        Place of the family in the classification task of that year's ImageNet
        challenge.

    weights : tuple of str
        Names of the published sets, the default first.
    """

    name: str
    library: str
    year: int | None
    ilsvrc: int | None
    weights: tuple


@dataclass(frozen=True)
class NamedNetwork:
    """Recipe to build a network of the catalogue.

    Parameters
    ----------
    name : str
        Name in the catalogue.

    n_outputs : int or None
        Number of outputs, see `Backbone.build`.

    weights : str or None
        Name of the published set that the network is for.

    lacking : tuple of str, default=()
        Names of the layers of the head that have no weights.
    """

    name: str
    n_outputs: int | None
    weights: str | None
    lacking: tuple = ()

    def build(self):
        """Return the network, with placeholder weights."""
        from .catalogue import find_backbone
        from .loading import SkipRandom

        backbone = find_backbone(self.name)
        card = None if self.weights is None else backbone.find_card(self.weights)
        with SkipRandom():
            module = backbone.make(self.n_outputs, card)
        return self.note_lacking(module)

    def note_lacking(self, module):
        """Mark the layers of a network that have no weights, and return the network."""
        for name in self.lacking:
            module.get_submodule(name).lacks_weights = True
        return note_recipe(module, self)


@dataclass(frozen=True)
class Backbone(ABC):
    """Network of the catalogue.

    Parameters
    ----------
    name : str
        Name in the catalogue.

    preprocessing : Preprocessing or None
        Preprocessing of the default weights; None if `needs_shape`.

    cards : tuple of WeightsCard
        Cards of the published sets, the default first.

    n_outputs : int or None
        Default number of outputs.

    needs_shape : bool, default=False
        Whether the network depends on the shape of the samples. Such a network has no
        published weights and is built by :func:`skcnn.modules.build_module`.
    """

    library: ClassVar[str]
    name: str
    preprocessing: Preprocessing | None
    cards: tuple
    n_outputs: int | None
    needs_shape: bool = False

    @abstractmethod
    def build(self, n_outputs=None, card=None):
        """Return the network with random weights, from torch's global generator.

        Parameters
        ----------
        n_outputs : int or None, default=None
            Number of outputs. None is that of `card`.

        card : WeightsCard or None, default=None
            Weights that the network is for; None is the default set. They fix the image
            size of some networks.

        Returns
        -------
        torch.nn.Module
            Network in training mode.
        """

    def make(self, n_outputs=None, card=None):
        """Return the network of `build`, with its recipe.

        Parameters
        ----------
        n_outputs, card
            See `build`.

        Returns
        -------
        torch.nn.Module
            Network in training mode.
        """
        recipe = NamedNetwork(self.name, n_outputs, card and card.name)
        return note_recipe(self.build(n_outputs, card), recipe)

    def find_card(self, weights="default"):
        """Return the card of a published set.

        Parameters
        ----------
        weights : str, default="default"
            Name of the set.

        Returns
        -------
        WeightsCard
            The card.

        Raises
        ------
        ValueError
            If there is no such set.
        """
        cards = {card.name: card for card in reversed(self.cards)}
        if self.cards and weights == "default":
            return self.cards[0]
        if weights in cards:
            return cards[weights]
        choices = ["default", *(card.name for card in self.cards)] if cards else []
        raise ValueError(
            f"weights={weights!r} is not a set of weights published for {self.name!r}. "
            f"Choose {f'one of {choices}' if choices else 'None (it has none)'}, or "
            "pass the path of a file."
        )

    def weights_file(self, card, verbose=False):
        """Return the file of a published set.

        Parameters
        ----------
        card : WeightsCard
            The set.

        verbose : bool, default=False
            Whether to print the progress of a download to stderr.

        Returns
        -------
        pathlib.Path
            The file, whose SHA-256 is that of the card.

        Raises
        ------
        WeightsError
            If there is no such file, or its SHA-256 differs.
        """
        return download_weights(card, verbose)

    def rename(self, state_dict):
        """Return the weights under the network's current names.

        Parameters
        ----------
        state_dict : dict of str to torch.Tensor
            Weights of a file.

        Returns
        -------
        dict of str to torch.Tensor
            The same tensors, without those that only training needs.
        """
        return state_dict

    def restore(self, state_dict, source, n_outputs=None, card=None):
        """Return the network with weights from a file.

        Parameters
        ----------
        state_dict : dict of str to torch.Tensor
            The weights.

        source : str
            Origin of the weights, for messages.

        n_outputs, card : int or None, WeightsCard or None, default=None, None
            See `build`.

        Returns
        -------
        torch.nn.Module
            Network in training mode.

        Raises
        ------
        WeightsError
            If the weights do not fit.
        """
        module = self.make(n_outputs, card)
        load_weights(module, self.rename(state_dict), source)
        return module
