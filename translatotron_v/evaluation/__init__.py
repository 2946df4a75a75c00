"""Scoring pictures and checkpoints: what `evaluate.py` runs.

`reading` runs OCR over many pictures, `pictures` scores two folders, `checkpoint` scores a trained translator, `report`
writes what they found, and `command` is the command line.
"""
