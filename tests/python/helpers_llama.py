"""Random small Llama checkpoints written by transformers."""

import torch
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.utils import logging

logging.disable_progress_bar()  # the models are tiny: their bars would only fill the log
torch.set_num_threads(1)  # more threads would only wait for each other

SMALL = {
    "vocab_size": 512,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "tie_word_embeddings": False,
}


def randomise(model, seed):
    """Weights of a size at which attention is neither flat nor saturated, norms and biases that are not 1 and 0."""
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() == 1:
                middle = 1.0 if name.endswith("norm.weight") else 0.0
                weight.uniform_(middle - 0.5, middle + 0.5, generator=random)
            else:
                spread = 0.25 if "embed" in name or "lm_head" in name else 1.2 / weight.shape[1] ** 0.5
                weight.normal_(0.0, spread, generator=random)
    return model


def random_llama(directory, seed=1, dtype=torch.float32, max_shard_size="1GB", **changes):
    """Writes a random model to `directory`; returns what transformers reads back from there, in float32."""
    model = randomise(LlamaForCausalLM(LlamaConfig(**(SMALL | changes))), seed)
    model.to(dtype).save_pretrained(directory, max_shard_size=max_shard_size)
    return load_llama(directory)


def load_llama(directory):
    return LlamaForCausalLM.from_pretrained(directory, dtype=torch.float32).eval()


def random_ids(count, seed, vocabulary=512):
    return torch.randint(vocabulary, (count,), generator=torch.Generator().manual_seed(seed)).tolist()
