"""The bundled vision-language model: small enough to ship, trained enough to see.

pictures.py    seeded pictures of coloured shapes and questions about them
train.py       trains the model from scratch and writes `model/`
smoke_data.py  writes the held-out questions of the `smoke` tasks
model/         configuration, weights, tokenizer, model card
"""

from pathlib import Path

MODEL_DIR = Path(__file__).parent / "model"
SERVED_NAME = "lmms-fast-tiny"
