"""The command line: ``minigemma tour | generate | chat | figures | info | verify | evaluate | download``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from minigemma.errors import InputError, MinigemmaError

if TYPE_CHECKING:
    from minigemma.model import Gemma4

MEMORY_HELP = 'how much widened weight stays in memory: "2GB", "all" (default: decided from what the machine has)'


def main(arguments: list[str] | None = None) -> int:
    """Run one command. 0: done; 1: verify found a difference, or a download was declined; 2: an error, in one line."""
    args = _parser().parse_args(arguments)
    try:
        return args.run(args) or 0
    except MinigemmaError as error:
        return _failed(str(error))
    except KeyboardInterrupt:
        print("\nminigemma: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output has gone (`minigemma info ... | head`)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that the last flush finds somebody
        return 0
    except MemoryError as error:
        return _failed(f"out of memory ({error}): try --memory 1GB, a shorter prompt, or a smaller image")
    except OSError as error:
        return _failed(f"{error.filename or 'input or output'}: {error.strerror or error}")


def _failed(message: str) -> int:
    print(f"minigemma: {message}", file=sys.stderr)
    return 2


def _tour(args: argparse.Namespace) -> None:
    from minigemma.tour import tour

    tour(Path(args.out))


def _figures(args: argparse.Namespace) -> None:
    from minigemma.gallery import draw_all

    draw_all(Path(args.out), only=args.only)


def _generate(args: argparse.Namespace) -> None:
    import minigemma as mg

    if args.text is not None and not (args.text.strip() or args.image or args.audio):
        raise InputError("the text is empty; say something")
    model = _load(args)
    if args.ids is not None:
        for token in model.generate(args.ids, **_sampling(args)):
            print(token, end=" ", flush=True)
        print()
        return
    if args.raw:
        if args.image or args.audio:
            raise InputError("--raw continues a text as it stands, so it takes no --image and no --audio")
        prompt = mg.Prompt([model.config.text.bos_token_id, *model.tokenizer.encode(args.text)], [], [])
    else:
        prompt = mg.make_prompt(model, args.text, args.image, args.audio, system=args.system, thinking=args.thinking)
    _print_stream(mg.answer_text(model.tokenizer, model.generate(**prompt._asdict(), **_sampling(args))))


def _chat(args: argparse.Namespace) -> None:
    import minigemma as mg

    model = _load(args)
    conversation = mg.Conversation(model, system=args.system, thinking=args.thinking)
    print("Type a message. /image PATH and /audio PATH go with the next one; Ctrl-C stops an answer; /quit ends.")
    images: list[str] = []
    sounds: list[str] = []
    while True:
        try:
            line = input("you> ").strip()
        except EOFError:
            print()
            return
        command, _, path = line.partition(" ")
        if command in ("/quit", "/exit"):
            return
        if command in ("/image", "/audio"):
            _add(images if command == "/image" else sounds, path.strip())
        elif command.startswith("/"):
            print(f"there is no {command}; there are /image PATH, /audio PATH and /quit", file=sys.stderr)
        elif line:
            try:
                pieces = conversation.say(line, images, sounds, **_sampling(args))
                print("model> ", end="", flush=True)
                _print_stream(pieces)
            except MinigemmaError as error:  # a wrong file is no reason to lose the conversation
                _failed(str(error))
            except KeyboardInterrupt:
                print("\n(stopped; this turn is not remembered)", file=sys.stderr)
            images, sounds = [], []


def _add(media: list[str], path: str) -> None:
    if Path(path).expanduser().is_file():
        media.append(str(Path(path).expanduser()))
        print(f"(goes with the next message: {path})")
    else:
        print(f"there is no file {path!r}", file=sys.stderr)


def _info(args: argparse.Namespace) -> None:
    from minigemma.info import describe

    print(describe(args.checkpoint))


def _verify(args: argparse.Namespace) -> int:
    from minigemma import verify

    return verify.run(args.directory, args.prompt if args.ids is None else args.ids)


def _evaluate(args: argparse.Namespace) -> int:
    from minigemma.evaluation.evaluate import run

    return run(args.checkpoints, args.json)


def _download(args: argparse.Namespace) -> int:
    from minigemma import download

    return download.run(args.variant, args.directory, args.base, args.yes)


def _load(args: argparse.Namespace) -> Gemma4:
    """The model, and a word about where its weights will be."""
    from minigemma.model import load

    model = load(args.checkpoint, memory=args.memory)
    print(f"{args.checkpoint}: {model.memory_note}", file=sys.stderr)
    return model


def _sampling(args: argparse.Namespace) -> dict:
    options = {name: getattr(args, name) for name in ("max_new_tokens", "temperature", "top_k", "top_p", "seed")}
    return options | {"temperature": None} if args.sample else options


def _print_stream(pieces: Iterable[str]) -> None:
    for piece in pieces:
        print(piece, end="", flush=True)
    print()


def _token_ids(text: str) -> list[int]:
    """ "2, 105, 3" -> [2, 105, 3]."""
    try:
        return [int(word) for word in text.replace(",", " ").split()]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of whole numbers such as 2,105,3") from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="minigemma",
        description="Google's Gemma 4 family in plain NumPy, to be read, taught and looked at.",
        epilog="`minigemma COMMAND --help` shows examples. MINIGEMMA_CHECKPOINT names the checkpoint to use where none "
        "is given; without it that is mini-e, which comes with the package.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, run: Callable, text: str, *examples: str) -> argparse.ArgumentParser:
        epilog = "\n".join(["examples:", *(f"  minigemma {name} {example}".rstrip() for example in examples)])
        command = commands.add_parser(
            name,
            help=text,
            description=text[0].upper() + text[1:] + ".",
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.set_defaults(run=run)
        return command

    _add_picture_commands(add)
    _add_model_commands(add)
    _add_checkpoint_commands(add)
    return parser


def _add_model_commands(add: Callable[..., argparse.ArgumentParser]) -> None:
    command = add(
        "generate", _generate, "answer one message, or continue a text with --raw",
        '"What digit is this?" --image digit.png',
        '"Once upon a time" --raw --max-new-tokens 40 --temperature 0.8 --seed 1',
        '"Who are you?" --checkpoint gemma-4-E2B-it --memory 2GB',
    )  # fmt: skip
    what = command.add_mutually_exclusive_group(required=True)
    what.add_argument("text", nargs="?", help="the message (or with --raw the text to continue)")
    what.add_argument("--ids", type=_token_ids, metavar="IDS", help="token ids, such as 2,105,3: prints new ids")
    command.add_argument("--raw", action="store_true", help="no chat turns: continue the text as it stands")
    command.add_argument("--image", action="append", default=[], metavar="PATH", help="a picture; may be repeated")
    command.add_argument("--audio", action="append", default=[], metavar="PATH", help="a WAV file; may be repeated")
    _add_model_options(command)

    command = add(
        "chat", _chat, "talk with a checkpoint, turn by turn",
        "", "--checkpoint gemma-4-E2B-it --memory all", '--system "Answer in one sentence." --thinking',
    )  # fmt: skip
    _add_model_options(command)


def _add_picture_commands(add: Callable[..., argparse.ArgumentParser]) -> None:
    text = "run the shipped models on a sentence, a picture and a sound, and draw what happened"
    command = add("tour", _tour, text, "", "--out /tmp/tour")
    command.add_argument("--out", default="out/tour", help="where the pictures go (default: %(default)s)")

    text = "draw every figure of the gallery as PNG and SVG"
    command = add("figures", _figures, text, "", "--only attention --out slides")
    command.add_argument("--out", default="figures", help="where the figures go (default: %(default)s)")
    command.add_argument("--only", metavar="TEXT", help="only the figures whose name contains TEXT")


def _add_checkpoint_commands(add: Callable[..., argparse.ArgumentParser]) -> None:
    text = "print a checkpoint's or preset's schedule, parameters by part and cache bytes"
    command = add("info", _info, text, "E2B", "mini-a4b", "gemma-4-E2B-it")
    command.add_argument("checkpoint", help="E2B, E4B, 26B-A4B, 31B, the name of a shipped checkpoint, or a directory")

    text = "compare a checkpoint layer by layer with the installed transformers"
    command = add("verify", _verify, text, "mini-e", 'gemma-4-E2B-it --prompt "The capital of France is"')
    command.add_argument("directory", help="a directory in hub format, or the name of a shipped checkpoint")
    what = command.add_mutually_exclusive_group()
    what.add_argument("--prompt", help="the text to run (default: a short one, with a made-up picture and sound)")
    what.add_argument("--ids", type=_token_ids, metavar="IDS", help="token ids instead, such as 2,105,3")

    text = "measure the shipped checkpoints on data they never saw"
    command = add("evaluate", _evaluate, text, "", "mini-e --json mini-e.json")
    command.add_argument("checkpoints", nargs="*", help="names or directories (default: all shipped ones)")
    command.add_argument("--json", metavar="FILE", help="also write the numbers there")

    text = "fetch released weights from the Hugging Face hub (needs: pip install 'minigemma[hub]')"
    command = add("download", _download, text, "E2B", "E4B /data/e4b --yes", "E2B --base")
    command.add_argument("variant", help="E2B (10 GB), E4B (16 GB), 26B-A4B (52 GB) or 31B (63 GB)")
    command.add_argument("directory", nargs="?", help="where to put it (default: ./gemma-4-VARIANT-it)")
    kind = command.add_mutually_exclusive_group()
    kind.add_argument(
        "--it", dest="base", action="store_false", default=False, help="the instruction-tuned weights (the default)"
    )
    kind.add_argument("--base", action="store_true", help="the pre-trained weights")
    command.add_argument("--yes", action="store_true", help="do not ask before the download")


def _add_model_options(command: argparse.ArgumentParser) -> None:
    from minigemma.model import default_checkpoint

    option = command.add_argument
    option("--checkpoint", default=default_checkpoint(), help="a directory or a shipped name (default: %(default)s)")
    option("--memory", help=MEMORY_HELP)
    option("--system", help="a system message")
    option("--thinking", action="store_true", help="let the model think before it answers")
    option("--max-new-tokens", type=int, default=256, help="stop after this many (default: %(default)s)")
    option("--temperature", type=float, default=0.0, help="0 is greedy (default: %(default)s)")
    option("--sample", action="store_true", help="draw as the checkpoint's generation_config.json says")
    option("--top-k", type=int, help="draw only from the k likeliest tokens")
    option("--top-p", type=float, help="draw only from the likeliest tokens that reach this probability")
    option("--seed", type=int, help="makes a draw repeatable")


if __name__ == "__main__":
    sys.exit(main())
