"""Every figure of the report, one file per section."""
