"""Gemma4: a checkpoint, its tokenizer, and the forward pass from token ids, images and sounds to logits."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import accumulate
from pathlib import Path

import numpy as np

from minigemma import audio as hearing
from minigemma import vision as seeing
from minigemma.cache import KVCache
from minigemma.checkpoint import Checkpoint, Weights
from minigemma.config import Config, read_config
from minigemma.config_checks import short
from minigemma.decoder import Context, run_layers
from minigemma.errors import CheckpointError, InputError
from minigemma.gemma3.weights import Gemma3Weights
from minigemma.generate import Sampler, check_sampling
from minigemma.interleaving import image_block_ends, schedule
from minigemma.ops import product, rms_norm, soft_cap
from minigemma.ple import per_layer_inputs
from minigemma.tokenizer import Tokenizer
from minigemma.trace import Trace, Watch, unwatched

SHIPPED = Path(os.environ.get("MINIGEMMA_SHIPPED") or Path(__file__).parent / "shipped")
Image = tuple[np.ndarray, np.ndarray]  # patches (N, 768) in [0, 1], positions (N, 2) as x, y


def shipped_names() -> list[str]:
    """The checkpoints that come with the package."""
    return sorted(path.parent.name for path in SHIPPED.glob("*/config.json"))


def default_checkpoint(name: str = "mini-e") -> str:
    """The checkpoint to use where none is named: MINIGEMMA_CHECKPOINT from the environment, else a shipped one."""
    return os.environ.get("MINIGEMMA_CHECKPOINT") or name


def find_checkpoint(path: str | Path) -> Path:
    """The directory that a path or a shipped name stands for; CheckpointError says what there is otherwise."""
    if str(path) == "gemma3-270m":
        from minigemma.gemma3 import from_pip  # not needed, and not possible everywhere, before somebody asks for it

        return from_pip.directory()
    directory = SHIPPED / path if str(path) in shipped_names() else Path(path).expanduser()
    if not directory.is_dir():
        raise CheckpointError(
            f"no checkpoint at {str(path)!r}: give a directory with config.json and model.safetensors, "
            f"or one of the shipped names: {', '.join(shipped_names())}; or gemma3-270m (see the gemma3 extra)"
        )
    return directory


def load(path: str | Path | None = None, memory: str | int | None = None) -> Gemma4:
    """A model from a directory in hub format, or from the name of a shipped checkpoint (``mg.shipped_names()``).

    "gemma3-270m" is Gemma 3 270M, where the extra ``gemma3`` is installed.

    path: None takes the checkpoint that MINIGEMMA_CHECKPOINT in the environment names, else mini-e.

    memory: how much widened weight stays resident, such as "2GB" or a number of bytes; "all"; None decides from what
    the machine has (``model.memory_note`` says what). What does not fit is read again from the mapped file when needed.
    """
    directory = find_checkpoint(path if path is not None else default_checkpoint())
    config = read_config(directory)
    checkpoint = Checkpoint(directory, memory=memory)
    checkpoint.check(config)
    weights = Weights(checkpoint)
    if config.model_type == "gemma3_text":
        weights = Weights(Gemma3Weights(weights, config.text.num_hidden_layers))
    model = Gemma4(config, weights.under("model."), directory)
    model.memory_note = checkpoint.memory_note
    return model


class Gemma4:
    """A loaded model. Its methods are the public interface; the arithmetic lives in the modules they call."""

    def __init__(self, config: Config, weights: Weights, directory: Path | None = None):
        self.config, self.weights, self.directory = config, weights, directory
        self.text_weights = weights.under("language_model.")
        self.schedule = schedule(config.text)
        self.memory_note = "all weights are in memory"  # or what was decided when they were loaded

    @cached_property
    def tokenizer(self) -> Tokenizer:
        if self.directory is None:
            raise CheckpointError("this model was made from arrays and has no tokenizer")
        return Tokenizer.from_directory(self.directory)

    def new_cache(self) -> KVCache:
        """An empty KV cache; pass it to ``forward`` again and again to continue where it stands."""
        return KVCache(self.config.text)

    def forward(
        self,
        token_ids: Sequence[int] | np.ndarray,
        images: Sequence[Image] = (),
        audio: Sequence[np.ndarray] = (),
        cache: KVCache | None = None,
        trace: Trace | None = None,
        last_only: bool = False,
    ) -> np.ndarray:
        """Token ids (T,) -> logits (T, V) float32; (1, V) with ``last_only``.

        images: one (patches, positions) for every run of image or video placeholders, in the order they stand in.
        audio: one log-mel array (frames, mel bins) for every run of audio placeholders.
        cache: earlier tokens; the new ones are added to it. An image or a sound may not be split between two calls.
        trace: records (and edits) named tensors; see the package's list of names in ``minigemma.decoder.layer``.
        """
        watch: Watch = unwatched if trace is None else trace
        config, weights = self.config.text, self.text_weights
        start = self._check_cache(cache)
        ids = self._check_ids(token_ids, start)

        x, plain_ids = self._embed(ids, images, audio, watch)
        ple = None
        if config.hidden_size_per_layer_input:
            ple = per_layer_inputs(
                plain_ids, x, weights, config.num_hidden_layers, config.rms_norm_eps, watch.under("ple")
            )

        positions = np.arange(start, start + len(ids))
        context = Context(self.schedule, positions, self._block_ends(ids, start), cache)
        # a trace shows every position, so nothing is left out while one is watching
        x = run_layers(x, self.schedule, weights, context, config, ple, last_only and trace is None, watch)
        x = watch("final_norm", rms_norm(x[-1:] if last_only else x, weights["norm.weight"], config.rms_norm_eps))
        self._check_finite(x)
        logits = watch("logits", self.logits(x))
        if cache is not None:
            cache.commit(len(ids))
        return logits

    def logits(self, x: np.ndarray) -> np.ndarray:
        """The tied head: normed vectors (T, D) against every row of the embedding table -> (T, V), softly capped."""
        logits = product(x, self.text_weights, "embed_tokens.weight")
        soft_cap(logits, self.config.text.final_logit_softcapping, out=logits)
        return logits

    def encode_image(self, patches: np.ndarray, positions: np.ndarray, watch: Watch = unwatched) -> np.ndarray:
        """An image as the decoder takes it: patches (N, 768), positions (N, 2) -> (soft tokens, D)."""
        if self.config.vision is None:
            raise InputError("this checkpoint has no vision tower, so it takes no images")
        soft = seeing.encode(patches, positions, self.weights.under("vision_tower."), self.config.vision, watch)
        return seeing.project(soft, self.weights.under("embed_vision."), self.config.vision.rms_norm_eps, watch)

    def encode_audio(self, mel: np.ndarray, watch: Watch = unwatched) -> np.ndarray:
        """A sound as the decoder takes it: log-mel (frames, mel bins) -> (soft tokens, D)."""
        if self.config.audio is None:
            raise InputError("this checkpoint has no audio tower, so it takes no sounds")
        soft = hearing.encode(mel, self.weights.under("audio_tower."), self.config.audio, watch)
        return hearing.project(soft, self.weights.under("embed_audio."), self.config.audio.rms_norm_eps, watch)

    def generate(
        self,
        token_ids: Sequence[int] | np.ndarray,
        max_new_tokens: int = 256,
        images: Sequence[Image] = (),
        audio: Sequence[np.ndarray] = (),
        temperature: float | None = 0.0,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int | None = None,
        stop: Sequence[int] | None = None,
        cache: KVCache | None = None,
    ) -> Iterator[int]:
        """Yield new token ids one by one, a stop id included, until one of ``stop`` or ``max_new_tokens``.

        Greedy at temperature 0, else drawn with ``seed``; temperature None draws as generation_config.json says. Ids
        that it suppresses are never taken. stop: ids that end the text; None takes the checkpoint's own, () never stops
        early. It also ends where the model's context does. cache: a conversation to continue.
        """
        own = self.config.sampling
        if temperature is None:
            temperature = own.temperature
            top_k, top_p = own.top_k if top_k is None else top_k, own.top_p if top_p is None else top_p
        check_sampling(max_new_tokens, temperature, top_k, top_p)
        cache = self.new_cache() if cache is None else cache
        self._check_ids(token_ids, cache.length)
        return self._generate(
            token_ids,
            max_new_tokens,
            images,
            audio,
            Sampler(temperature, top_k, top_p, seed, own.suppress_token_ids),
            self.config.eos_token_ids if stop is None else tuple(stop),
            cache,
        )

    def _generate(self, token_ids, max_new_tokens, images, audio, sample, stop, cache) -> Iterator[int]:
        if max_new_tokens == 0:
            return
        config = self.config
        pad, placeholders = (
            config.text.pad_token_id,
            {config.image_token_id, config.audio_token_id, config.video_token_id},
        )
        logits = self.forward(token_ids, images, audio, cache=cache, last_only=True)
        for step in range(1, max_new_tokens + 1):
            token = sample(logits[-1])
            yield token
            if token in stop or step == max_new_tokens or cache.length >= self.config.text.max_position_embeddings:
                return
            # a placeholder has nothing to stand for here; the reference goes on with the pad id too
            logits = self.forward([pad if token in placeholders else token], cache=cache, last_only=True)

    def _embed(self, ids, images, audio, watch) -> tuple[np.ndarray, np.ndarray]:
        """Embeddings (T, D) with soft tokens in their places, and the ids (T,) with the pad id in those places."""
        is_image, is_audio = self._is_image(ids), ids == self.config.audio_token_id
        plain_ids = np.where(is_image | is_audio, self.config.text.pad_token_id, ids)
        x = self.text_weights.rows("embed_tokens.weight", plain_ids)
        x = x * np.float32(math.sqrt(self.config.text.hidden_size))  # soft tokens are not scaled

        soft = [self.encode_image(patches, at, watch.under(f"images.{i}")) for i, (patches, at) in enumerate(images)]
        _place(x, is_image, soft, "image")
        soft = [self.encode_audio(mel, watch.under(f"audio.{i}")) for i, mel in enumerate(audio)]
        _place(x, is_audio, soft, "audio")
        return watch("embedding", x), plain_ids

    def _is_image(self, ids: np.ndarray) -> np.ndarray:
        return (ids == self.config.image_token_id) | (ids == self.config.video_token_id)

    def _block_ends(self, ids: np.ndarray, start: int) -> np.ndarray | None:
        if self.config.text.use_bidirectional_attention != "vision":
            return None
        return image_block_ends(self._is_image(ids), start)

    def _check_cache(self, cache: KVCache | None) -> int:
        """The position of the next token."""
        if cache is None:
            return 0
        if cache.config != self.config.text:
            raise InputError("this cache was made by another model; make one with new_cache() of the model that runs")
        return cache.length

    def _check_ids(self, token_ids: Sequence[int] | np.ndarray, start: int) -> np.ndarray:
        try:
            ids = np.asarray(token_ids)
        except ValueError:
            raise InputError("token_ids must be one list of ids; got lists of different lengths") from None
        if ids.ndim != 1 or not len(ids):
            raise InputError(f"token_ids must be a non-empty list of ids; got an array of shape {ids.shape}")
        if not np.issubdtype(ids.dtype, np.integer):
            raise InputError(f"token_ids must be integers; got {ids.dtype} (text goes through model.tokenizer.encode)")
        vocabulary, context = self.config.text.vocab_size, self.config.text.max_position_embeddings
        wrong = np.flatnonzero((ids < 0) | (ids >= vocabulary))
        if len(wrong):
            raise InputError(
                f"token id {ids[wrong[0]]} at position {wrong[0]} is outside the vocabulary of {vocabulary:,} (0 to "
                f"{vocabulary - 1:,})"
            )
        if start + len(ids) > context:
            raise InputError(
                f"{start + len(ids):,} tokens do not fit into this model's context of {context:,}"
                + (f" ({start:,} are in the cache already)" if start else "")
            )
        return ids.astype(np.int64)

    def _check_finite(self, x: np.ndarray) -> None:
        if not np.isfinite(x).all():
            found = self.weights.find_nonfinite() or ["all weights are finite; an image, a sound or an edit is not"]
            raise CheckpointError("the forward pass gave NaN or infinite values: " + "; ".join(found[:8]))


def _place(x: np.ndarray, where: np.ndarray, soft: list[np.ndarray], kind: str) -> None:
    """Write soft tokens into the rows of their placeholders, in order: each image, each sound into a run, whole."""
    if not soft and not where.any():
        return
    starts, ends = np.flatnonzero(np.diff(where, prepend=False, append=False)).reshape(-1, 2).T
    runs, given = (ends - starts).tolist(), [len(tokens) for tokens in soft]
    # several may stand side by side in one run, but none may go on in another run (or another call)
    if sum(runs) != sum(given) or not {*accumulate(runs)} <= {*accumulate(given)}:
        raise InputError(
            f"the prompt's runs of {kind} placeholders are {short(runs)} tokens long; the given {kind}s make "
            f"{short(given)} soft tokens. Each needs a run of its own length, and all of it in one call"
        )
    x[where] = np.concatenate(soft)
