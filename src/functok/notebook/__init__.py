"""functok in a notebook: a model with an SAE, and a finished run, as objects that give frames."""
