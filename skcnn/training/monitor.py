"""What may look at a training between its epochs."""


class Monitor:
    """A part that training tells of each epoch; the base class does nothing.

    Training calls its monitors in the order in which they are given.
    """

    def begin(self, net):
        """Prepare for a training.

        Parameters
        ----------
        net : Net
            The net, its optimiser ready.
        """

    def begin_epoch(self, net):
        """Prepare for an epoch.

        Parameters
        ----------
        net : Net
            The net in training.
        """

    def evaluate(self, net):
        """Record what belongs in the epoch's row of the history.

        Parameters
        ----------
        net : Net
            The net after the steps of the epoch.
        """

    def end_epoch(self, net):
        """Look at an epoch whose row of the history is complete.

        Parameters
        ----------
        net : Net
            The net in training.

        Returns
        -------
        bool
            Whether training shall end.
        """
        return False

    def end(self, net):
        """Finish the training.

        Parameters
        ----------
        net : Net
            The net after its last epoch.
        """
