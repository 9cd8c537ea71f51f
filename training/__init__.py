"""How the shipped checkpoints were trained: data, tokenizer, models and the loop. Needs the ``reference`` extra."""
