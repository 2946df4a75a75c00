"""Scoring pictures and checkpoints: what `evaluate.py` runs.

`reading` runs OCR over many pictures, `pictures` scores two folders, `checkpoint` scores a trained translator by its
pictures, `texts` by its texts alone (for which `answers` asks it), `modality_gap` holds image mode against text mode
(`gap_report` shows it), `r_probe` draws pages again from a frozen image encoder, and `link_gradients` says what flows
back into one. `report` writes what they found, and `command` is the command line, with the `options` that its commands
share.
"""
