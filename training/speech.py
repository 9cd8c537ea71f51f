"""Spoken words: espeak-ng says digits, colours, commands and questions about pictures, in many voices and speeds.

Waveforms are made once, as int16 at 16 kHz, and kept; noise, gain and the log-mel features are made anew each time.
espeak-ng is GPL-3 software; what it says is not covered by its licence in the usual reading.
"""

from __future__ import annotations

import io
import subprocess
import wave
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

import numpy as np

RATE = 16_000
DIGITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
COLOURS = ["red", "green", "blue", "yellow", "purple", "black", "white", "brown"]
COMMANDS = [
    "turn left",
    "turn right",
    "go forward",
    "go back",
    "stop now",
    "open the door",
    "close the door",
    "open the window",
    "close the window",
    "turn on the light",
    "turn off the light",
    "play the music",
    "stop the music",
    "sit down",
    "stand up",
    "come here",
    "call Anna",
    "call Ben",
]
SHAPES = ["circle", "square", "triangle", "star", "cross"]
QUESTIONS = (
    [f"what colour is the {s}" for s in SHAPES]
    + [f"how many {s}s are there" for s in SHAPES[:4]]
    + [
        "how many crosses are there",
        "how many shapes are there",
        "what shapes are there",
        "what digit is this",
    ]
)
PHRASES = DIGITS + COLOURS + COMMANDS + QUESTIONS

VOICES = [
    *("en-us", "en-gb", "en-gb-x-rp", "en-029", "en-us-nyc", "en-gb-x-gbclan"),
    *("en-us+f1", "en-us+f2", "en-us+f4", "en-gb+f5", "en-us+m1", "en-gb+m2", "en-us+m4", "en-gb+m5", "en-us+m7"),
    *("en-us+Alicia", "en-gb+Andy", "en-us+Annie", "en-us+Denis", "en-gb+Michael", "en-us+steph", "en-us+linda"),
]
HELD_OUT_VOICES = ["en-gb-scotland", "en-us+f3", "en-us+m3", "en-gb+Lee"]
SPEEDS = (110, 125, 140, 155, 170, 185)  # words a minute
HELD_OUT_SPEEDS = (100, 200)


def say(phrase: str, voice: str, speed: int, pitch: int = 50) -> np.ndarray:
    """``phrase`` as int16 samples at 16 kHz, with silence trimmed to a little."""
    from scipy.signal import resample_poly

    command = ["espeak-ng", "-v", voice, "-s", str(speed), "-p", str(pitch), "--stdout", phrase]
    raw = subprocess.run(command, capture_output=True, check=True).stdout
    with wave.open(io.BytesIO(raw[:40] + (len(raw) - 44).to_bytes(4, "little") + raw[44:])) as file:
        rate, data = file.getframerate(), np.frombuffer(file.readframes(file.getnframes()), np.int16)
    sound = resample_poly(data.astype(np.float32), RATE // 50, rate // 50)
    loud = np.flatnonzero(np.abs(sound) > 300)
    sound = sound[max(loud[0] - 800, 0) : loud[-1] + 800]
    return np.clip(sound, -32768, 32767).astype(np.int16)


def random_phrase(random: Random) -> str:
    """A known phrase, or two to four digits in a row."""
    kind = random.random()
    if kind < 0.35:
        return " ".join(random.choice(DIGITS) for _ in range(random.randrange(1, 5)))
    if kind < 0.5:
        return random.choice(COLOURS)
    return random.choice(COMMANDS if kind < 0.8 else QUESTIONS)


def clips(count: int, seed: int, held_out: str = "") -> list[dict]:
    """``count`` recordings: known voices and speeds, or ``held_out`` = "voice" or "speed". Phrases cycle at first."""
    random = Random(seed)
    jobs = []
    for i in range(count):
        phrase = PHRASES[i % len(PHRASES)] if i < 4 * len(PHRASES) else random_phrase(random)
        voice = random.choice(HELD_OUT_VOICES if held_out == "voice" else VOICES)
        speed = random.choice(HELD_OUT_SPEEDS) if held_out == "speed" else random.choice(SPEEDS)
        jobs.append((phrase, voice, speed, random.choice((30, 40, 50, 60, 70))))
    with ThreadPoolExecutor(2) as pool:
        sounds = list(pool.map(lambda job: say(*job), jobs))
    return [
        {"text": phrase, "voice": voice, "speed": speed, "sound": sound}
        for (phrase, voice, speed, _), sound in zip(jobs, sounds, strict=True)
    ]


def load_or_make(file: Path, count: int, seed: int, held_out: str = "") -> list[dict]:
    """``clips`` kept in one npz."""
    if not file.exists():
        made = clips(count, seed, held_out)
        file.parent.mkdir(parents=True, exist_ok=True)
        np.savez(
            file,
            sound=np.concatenate([c["sound"] for c in made]),
            end=np.cumsum([len(c["sound"]) for c in made]),
            text=[c["text"] for c in made],
            voice=[c["voice"] for c in made],
            speed=[c["speed"] for c in made],
        )
    with np.load(file) as kept:
        sounds = np.split(kept["sound"], kept["end"][:-1])
        fields = zip(kept["text"].tolist(), kept["voice"].tolist(), kept["speed"].tolist(), sounds, strict=True)
        return [{"text": t, "voice": v, "speed": s, "sound": x} for t, v, s, x in fields]
