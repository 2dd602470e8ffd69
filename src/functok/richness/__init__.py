"""Features at equal exposure: incidence, rarefaction, estimators."""
