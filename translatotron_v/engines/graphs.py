"""The parts of a translator as graphs: what each is given and makes, in which order, and under which names.

Whoever writes the graphs (``export``, with PyTorch) and whoever runs them (``runtime``, without) both go by this. Each
graph is a file of its own, ``NAME.onnx``, beside the checkpoint's other files, and holds no weights: it points into the
safetensors files there.

Shapes: B batch, R rows of a search, S states, T pieces, C characters, N image tokens, D width, V vocabulary, K codes.
"""

ENCODER = "image_encoder"  # pixels -> what the decoders see, and what the heads say
READER = "reading_encoder"  # pieces that were read, and the image states that they were read from -> memory
TEXT_ENCODER = "text_encoder"  # text mode: pieces -> memory
CHARACTERS = "character_encoder"  # characters and the text decoder's states -> what is drawn from
TOKENIZER = "image_tokenizer"  # image tokens -> pixels
MATTING = "matting"  # a picture -> coverage of ink
TEXT, OCR, IMAGE = "text_decoder", "ocr_head", "image_decoder"  # decoders, in these parts:
START, STEP, STATES = "start", "step", "states"  # what is read, projected once; a position; all positions at once

SUFFIX = ".onnx"
QUANTISED = ".int8.onnx"  # weights of eight bits, which these files hold themselves


def part(decoder: str, name: str) -> str:
    """The name of a part of a decoder."""
    return f"{decoder}_{name}"


def caches(kind: str, count: int) -> list[str]:
    """Names of keys and values of ``count`` attentions, layer by layer."""
    return [f"{kind}_{what}_{number}" for number in range(count) for what in ("keys", "values")]
