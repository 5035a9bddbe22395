"""The sample community: Kwint, a small Dutch and Swedish maker of an app for choirs and bands.

Company, people and product are invented. `klankbord demo` plays it through the webhook door and
compares what was measured with what was planted.
"""

from klankbord_standalone.sample.community import CONFIGURATION, SEED, Delivery, Sample, sample
from klankbord_standalone.sample.planted import Planted

__all__ = ["CONFIGURATION", "SEED", "Delivery", "Planted", "Sample", "sample"]
