from .llama import new_llama as new_llama
from .loop import train as train
from .schedule import learning_rate as learning_rate
from .schedule import log_spaced as log_spaced
from .schedule import window_order as window_order
from .settings import LlamaShape as LlamaShape
from .settings import TrainingSettings as TrainingSettings
