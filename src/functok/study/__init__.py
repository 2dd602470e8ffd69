"""The whole paper as one resumable run, from one study file."""
