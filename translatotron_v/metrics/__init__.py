"""Scores of text, pictures and page structure; each carries a signature."""

from translatotron_v.metrics.comet import Comet as Comet
from translatotron_v.metrics.image import psnr as psnr
from translatotron_v.metrics.image import ssim as ssim
from translatotron_v.metrics.language import identify as identify
from translatotron_v.metrics.language import language_fidelity as language_fidelity
from translatotron_v.metrics.language import language_fidelity_plus as language_fidelity_plus
from translatotron_v.metrics.score import Score as Score
from translatotron_v.metrics.structure import merge_lines as merge_lines
from translatotron_v.metrics.structure import structure_bleu as structure_bleu
from translatotron_v.metrics.text import bleu as bleu
from translatotron_v.metrics.text import cer as cer
from translatotron_v.metrics.text import chrf as chrf
from translatotron_v.metrics.text import exact as exact
