"""The command line: ``minigemma tour | generate | chat | figures | info | verify | evaluate | download``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from minigemma.errors import MinigemmaError


def main(arguments: list[str] | None = None) -> int:
    """Run one command; errors we raise on purpose are printed in one line, without a traceback."""
    args = _parser().parse_args(arguments)
    try:
        return args.run(args) or 0
    except MinigemmaError as error:
        print(f"minigemma: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nminigemma: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output has gone (`minigemma info ... | head`)
        sys.stderr.close()
        return 0


def _tour(args: argparse.Namespace) -> int | None:
    from minigemma.tour import tour

    tour(Path(args.out))
    return None


def _figures(args: argparse.Namespace) -> int | None:
    from minigemma.gallery import draw_all

    draw_all(Path(args.out), only=args.only)
    return None


def _generate(args: argparse.Namespace) -> int | None:
    import minigemma as mg

    model = mg.load(args.checkpoint, memory=args.memory)
    if args.raw:
        ids = model.tokenizer.encode(args.text)
        bos = model.config.text.bos_token_id
        prompt = mg.Prompt([bos, *ids], [], [])
    else:
        prompt = mg.make_prompt(model, args.text, args.image, args.audio, system=args.system, thinking=args.thinking)
    _print_answer(model, prompt, args)
    return None


def _chat(args: argparse.Namespace) -> int | None:
    import minigemma as mg

    model = mg.load(args.checkpoint, memory=args.memory)
    conversation = mg.Conversation(model, system=args.system, thinking=args.thinking)
    print(f"{args.checkpoint}: type a message. /image PATH and /audio PATH add to the next one; /quit or Ctrl-D ends.")
    images: list[str] = []
    sounds: list[str] = []
    while True:
        try:
            line = input("you> ").strip()
        except EOFError:
            print()
            return None
        if line in ("/quit", "/exit"):
            return None
        command, _, rest = line.partition(" ")
        if command in ("/image", "/audio"):
            (images if command == "/image" else sounds).append(rest.strip())
        elif line:
            try:
                pieces = conversation.say(line, images, sounds, **_sampling(args))
                print("model> ", end="", flush=True)
                _stream(pieces)
            except MinigemmaError as error:  # a wrong path is no reason to lose the conversation
                print(f"minigemma: {error}", file=sys.stderr)
            images, sounds = [], []


def _info(args: argparse.Namespace) -> int | None:
    from minigemma.info import describe

    print(describe(args.checkpoint))
    return None


def _verify(args: argparse.Namespace) -> int | None:
    from minigemma import verify

    return verify.run(args.directory, args.prompt)


def _evaluate(args: argparse.Namespace) -> int | None:
    from minigemma.evaluation import run

    return run(args.checkpoints)


def _download(args: argparse.Namespace) -> int | None:
    from minigemma import download

    return download.run(args.variant, args.directory, args.yes)


def _sampling(args: argparse.Namespace) -> dict:
    return {name: getattr(args, name) for name in ("max_new_tokens", "temperature", "top_k", "top_p", "seed")}


def _print_answer(model, prompt, args: argparse.Namespace) -> None:
    _stream(model.tokenizer.stream(model.generate(**prompt._asdict(), **_sampling(args))))


def _stream(pieces) -> None:
    for piece in pieces:
        print(piece, end="", flush=True)
    print()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="minigemma", description="Google's Gemma 4 family in plain NumPy, to be read, taught and looked at."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, run: Callable, text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        command.set_defaults(run=run)
        return command

    command = add("tour", _tour, "run the shipped models on a sentence, a picture and a sound, and draw what happened")
    command.add_argument("--out", default="out/tour", help="where the pictures go (default: %(default)s)")

    command = add("generate", _generate, "answer one message, or continue a text with --raw")
    command.add_argument("text", help="the message (or with --raw the text to continue)")
    command.add_argument("--raw", action="store_true", help="no chat turns: continue the text as it stands")
    command.add_argument("--image", action="append", default=[], metavar="PATH", help="a picture; may be repeated")
    command.add_argument("--audio", action="append", default=[], metavar="PATH", help="a WAV file; may be repeated")
    _add_model_options(command)

    command = add("chat", _chat, "talk with a checkpoint, turn by turn")
    _add_model_options(command)

    command = add("figures", _figures, "draw every figure of the gallery as PNG and SVG")
    command.add_argument("--out", default="figures", help="where the figures go (default: %(default)s)")
    command.add_argument("--only", metavar="TEXT", help="only the figures whose name contains TEXT")

    command = add("info", _info, "print a checkpoint's or preset's schedule, parameters by part and cache bytes")
    command.add_argument("checkpoint", help="E2B, E4B, 26B-A4B, 31B, the name of a shipped checkpoint, or a directory")

    command = add("verify", _verify, "compare a checkpoint layer by layer with the installed transformers")
    command.add_argument("directory", help="a directory in hub format, or the name of a shipped checkpoint")
    command.add_argument("--prompt", help="the text to run (default: a short built-in one)")

    command = add("evaluate", _evaluate, "measure the shipped checkpoints on data they never saw")
    command.add_argument("checkpoints", nargs="*", help="names or directories (default: all shipped ones)")

    command = add("download", _download, "fetch released weights from the Hugging Face hub (needs the hub extra)")
    command.add_argument("variant", help="E2B, E4B, 26B-A4B or 31B")
    command.add_argument("directory", nargs="?", help="where to put them (default: the hub's own cache)")
    command.add_argument("--yes", action="store_true", help="do not ask before the download")
    return parser


def _add_model_options(command: argparse.ArgumentParser) -> None:
    from minigemma.model import default_checkpoint

    option = command.add_argument
    option("--checkpoint", default=default_checkpoint(), help="a directory or a shipped name (default: %(default)s)")
    option("--memory", help='how much widened weight stays in memory: "2GB", "all" (default: decided by what there is)')
    option("--system", help="a system message")
    option("--thinking", action="store_true", help="let the model think before it answers")
    option("--max-new-tokens", type=int, default=256, help="stop after this many (default: %(default)s)")
    option("--temperature", type=float, default=0.0, help="0 is greedy (default: %(default)s)")
    option("--top-k", type=int, help="draw only from the k likeliest tokens")
    option("--top-p", type=float, help="draw only from the likeliest tokens that reach this probability")
    option("--seed", type=int, help="makes a draw repeatable")


if __name__ == "__main__":
    sys.exit(main())
