"""Small vision towers with every tensor randomised, as plain arrays under the hub's names: shared by tests and goldens.

RandomState, because NumPy promises never to change its stream: the goldens hold only what the reference made of it.
"""

import io
import json
from pathlib import Path

import numpy as np

from minigemma.config import VisionConfig
from minigemma.vision.patches import grid

SMALL = VisionConfig(  # as E2B, E4B: clipped linears; H * K is not D
    hidden_size=24,
    num_hidden_layers=3,
    num_attention_heads=4,
    head_dim=8,
    intermediate_size=40,
    position_embedding_size=32,
    use_clipped_linears=True,
)
LARGE = VisionConfig(  # as 26B-A4B, 31B: standardised; K/4 is odd, as 72/4 is not a power of two
    hidden_size=28,
    num_hidden_layers=3,
    num_attention_heads=3,
    head_dim=12,
    intermediate_size=36,
    position_embedding_size=32,
    standardize=True,
)
TEXT_WIDTH = 20
GRIDS = ((9, 6), (3, 12))  # columns, rows: two aspects, neither square


def random_tower(config: VisionConfig, seed: int) -> dict[str, np.ndarray]:
    """Every tensor of ``vision_tower.`` and ``embed_vision.`` at random; norms away from 1, clip bounds that bite."""
    rng = np.random.RandomState(seed)
    D, F, HK = config.hidden_size, config.intermediate_size, config.num_attention_heads * config.head_dim

    def normal(*shape, scale=1.0, mean=0.0):
        return (mean + scale * rng.standard_normal(shape)).astype(np.float32)

    tower = {
        "patch_embedder.input_proj.weight": normal(D, 3 * config.patch_size**2, scale=0.06),
        "patch_embedder.position_embedding_table": normal(2, config.position_embedding_size, D, scale=0.5),
    }
    for i in range(config.num_hidden_layers):
        layer = f"encoder.layers.{i}."
        for norm in ("input", "post_attention", "pre_feedforward", "post_feedforward"):
            tower[f"{layer}{norm}_layernorm.weight"] = normal(D, scale=0.3, mean=1.0)
        tower[layer + "self_attn.q_norm.weight"] = normal(config.head_dim, scale=0.2, mean=0.8)
        tower[layer + "self_attn.k_norm.weight"] = normal(config.head_dim, scale=0.2, mean=1.2)
        shapes = {"self_attn.q_proj": (HK, D), "self_attn.k_proj": (HK, D), "self_attn.v_proj": (HK, D)}
        shapes |= {"self_attn.o_proj": (D, HK), "mlp.gate_proj": (F, D), "mlp.up_proj": (F, D), "mlp.down_proj": (D, F)}
        for name, (out, into) in shapes.items():
            tower[f"{layer}{name}.linear.weight"] = normal(out, into, scale=into**-0.5)
            if config.use_clipped_linears:
                for bound, sign in (("input_min", -1), ("input_max", 1), ("output_min", -1), ("output_max", 1)):
                    tower[f"{layer}{name}.{bound}"] = np.float32(sign * rng.uniform(0.6, 1.3))
    if config.standardize:
        tower["std_bias"] = normal(D, scale=2.0)
        tower["std_scale"] = normal(D, scale=0.2, mean=0.6)
    weights = {f"vision_tower.{name}": tensor for name, tensor in tower.items()}
    weights["embed_vision.embedding_projection.weight"] = normal(TEXT_WIDTH, D, scale=D**-0.5)
    return weights


def random_images(seed: int, grids=GRIDS) -> list[tuple[np.ndarray, np.ndarray]]:
    """Random patches and their positions for each (columns, rows)."""
    rng = np.random.RandomState(seed)
    return [(rng.random_sample((c * r, 768)).astype(np.float32), grid(c, r)) for c, r in grids]


def synthetic_photo(height: int = 123, width: int = 217) -> np.ndarray:
    """(H, W, 3) uint8 with smooth parts, edges and noise, from integer arithmetic alone."""
    y, x = np.mgrid[:height, :width]
    photo = np.stack([x * 255 // width, y * 255 // height, (x // 9 + y // 7) % 2 * 200], axis=-1)
    photo[height // 3 : height // 2, width // 4 :] = 255 - photo[height // 3 : height // 2, width // 4 :]
    return ((photo + (x * 7919 + y * 104_729)[..., None] % 23) % 256).astype(np.uint8)


def photos() -> dict[str, np.ndarray]:
    """Real photographs (H, W, 3) uint8 from scikit-image, empty without it.

    astronaut: NASA, public domain; coffee: Rachel Michetti, CC0; chelsea (a cat): Stefan van der Walt, CC0.
    """
    try:
        from skimage import data
    except ImportError:
        return {}
    return {"astronaut": data.astronaut(), "coffee": data.coffee(), "chelsea": data.chelsea()}


def hopper() -> str:
    """The path of a photograph that comes with matplotlib: Grace Hopper, US Navy, public domain; 512 x 600."""
    from matplotlib.cbook import get_sample_data

    return get_sample_data("grace_hopper.jpg", asfileobj=False)


def goldens() -> tuple[dict[str, np.ndarray], dict]:
    """Arrays and plain values written by make_goldens_vision.py."""
    folder = Path(__file__).parent / "goldens"
    return dict(np.load(folder / "vision.npz")), json.loads((folder / "vision.json").read_text())


def encoded(image, format: str = "PNG", **options) -> bytes:
    """An array or a Pillow image as the bytes of an image file."""
    from PIL import Image

    buffer = io.BytesIO()
    image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    image.save(buffer, format, **options)
    return buffer.getvalue()
