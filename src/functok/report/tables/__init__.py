"""Tables above and below the figures of a section."""
