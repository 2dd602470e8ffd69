from .corpora import open_corpus as open_corpus
from .encoding.tokenizer import Encoded as Encoded
from .encoding.tokenizer import encode as encode
from .encoding.tokenizer import load_tokenizer as load_tokenizer
from .graph.bipartite import TokenFeatureGraph as TokenFeatureGraph
from .graph.coverage import coverage as coverage
from .models.dictionaries import Dictionary as Dictionary
from .models.dictionaries.sources import load_sae as load_sae
from .models.interventions.intervention import Clamp as Clamp
from .models.interventions.intervention import Intervention as Intervention
from .models.interventions.intervention import steer as steer
from .models.interventions.sweeps import Trial as Trial
from .models.interventions.sweeps import sweep as sweep
from .models.language.capture import residual_stream as residual_stream
from .models.language.model import load_model as load_model
from .models.losses.groups import GroupLoss as GroupLoss
from .notebook.asked import Asked as Asked
from .notebook.asked import open as open
from .notebook.run import Run as Run
from .retrieval.prompts.trace import trace as trace
from .runtime.errors import UserError as UserError
from .tokens.counting.counts import TokenCounts as TokenCounts
from .tokens.counting.function_tokens import FunctionTokens as FunctionTokens

__version__: str
