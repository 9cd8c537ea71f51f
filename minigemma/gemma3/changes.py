"""What one decoder does otherwise than another, as a table of numbers: from Gemma 3 to Gemma 4, for any two configs."""

from __future__ import annotations

from ..cache import cache_bytes
from ..config import GLOBAL, Config
from ..interleaving import LayerSpec, schedule
from ..memory import show_size
from ..parameters import parameter_count, parameters_in_use

Row = tuple[str, str, str]  # what, in the old model, in the new one


def changes(old: Config, new: Config, context: int = 131_072) -> list[Row]:
    """Every line on which the two decoders may differ, with both values; cache sizes in bfloat16 at ``context``."""
    before, after = _facts(old, context), _facts(new, context)
    return [(name, before[name], after[name]) for name in before]


def format_changes(rows: list[Row], old: str, new: str) -> str:
    """The table to print; an arrow marks the lines that differ."""
    rows = [("", old, new), *rows]
    first, second = (max(len(row[i]) for row in rows) for i in (0, 1))
    return "\n".join(
        f"{what:<{first}}   {before:<{second}}  {'→' if what and before != after else ' '}  {after}".rstrip()
        for what, before, after in rows
    )


def _facts(config: Config, context: int) -> dict[str, str]:
    text, specs = config.text, schedule(config.text)
    world = next(spec for spec in specs if spec.kind == GLOBAL)
    local = sum(spec.is_local for spec in specs)
    own = sum(not spec.shares_kv for spec in specs)
    grows = cache_bytes(text, 2 * context) - cache_bytes(text, 2 * context - 1)  # windows are full by then
    turning = int(world.rope_fraction * world.head_dim // 2)
    cap, decoder = text.final_logit_softcapping, Config(text=text)
    return {
        "layers (local + global)": f"{len(specs)} ({local} + {len(specs) - local})",
        "the last layer is": "local" if specs[-1].is_local else "global",
        "window of local layers": f"{text.sliding_window:,}",
        "heads in a local layer": _heads(next(spec for spec in specs if spec.is_local)),
        "heads in a global layer": _heads(world),
        "values of a global layer from": "k_proj (K=V)" if world.k_eq_v else "v_proj",
        "values are": "normed" if world.value_norm else "as projected",
        "queries are multiplied by": "1" if world.attention_scale == 1 else f"1/√{round(world.attention_scale**-2)}",
        "pairs that turn, global": f"{turning} of {world.head_dim // 2}",
        "layers with keys and values": f"{own} of {len(specs)}",
        f"KV cache of {context:,} tokens": show_size(cache_bytes(text, context)),
        "a further token adds": show_size(grows),
        "per-layer embedding read a token": show_size(2 * len(specs) * text.hidden_size_per_layer_input),
        "experts": f"{text.top_k_experts} of {text.num_experts}" if text.num_experts else "none",
        "a layer ends": "times its scalar" if text.layer_scalar else "as it is",
        "logits": f"capped at {cap:g}" if cap else "as they are",
        "parameters of the decoder": _billions(sum(parameter_count(decoder).values())),
        "of which for one token": _billions(parameters_in_use(decoder)),
    }


def _heads(spec: LayerSpec) -> str:
    return f"{spec.heads} : {spec.kv_heads} of {spec.head_dim}"


def _billions(count: int) -> str:
    return f"{count / 1e9:.2f} B"
