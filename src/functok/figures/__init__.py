"""Every chart: a table in, an Altair chart out, and nothing drawn anywhere else.

A figure is two pure functions: one makes the exact table that is drawn, the other draws it. The
modules follow the paper's sections; ``plans`` holds titles and captions, ``catalogue`` lists the
figures of a run folder, and ``draw`` writes them. Import those modules; this one imports nothing.
"""
