"""The version of charnet, in the one place that the package, its checkpoints and the build read."""

__version__ = "0.1.0"
