"""Gemma 3 on Gemma 4's decoder: the generation before, whose 270M weights can be installed with pip.

Nothing here computes. What differs between the two is data, and this package reads it from a Gemma 3 file:

    what                       Gemma 3                   Gemma 4                  where it is said
    queries are multiplied by  1/sqrt(256)               1                        config.text.attention_scale
    values                     as projected              RMS-normed               config.text.value_norm
    global layers turn         all pairs                 a quarter of them        config.text.rope_fraction_global
    global heads are           as wide as local ones     twice as wide            config.text.global_head_dim
    logits                     as they are               capped softly at 30      config.text.final_logit_softcapping
    the last layer             as the 5 : 1 falls        global                   config.text.layer_types
    a layer ends               as it is                  times its scalar         weights: the number is 1
    norms are stored as        the factor less 1         the factor               weights: 1 is added once

K=V, KV sharing, per-layer embeddings and experts are new in Gemma 4, or left out by fields that are 0 or False.
Sources: Gemma 3 Technical Report (2025); Gemma3ForCausalLM.
"""
