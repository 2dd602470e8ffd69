from .dictionary import Dictionary as Dictionary
from .encoding import TILE as TILE
from .encoding import Activations as Activations
from .precision import Disagreement as Disagreement
from .precision import Precision as Precision
from .sae import Sae as Sae
from .sources import load_dictionary as load_dictionary
from .sources import open_sae as open_sae
