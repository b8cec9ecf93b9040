"""Arguments of the commands about a serving folder; loads nothing else."""

from __future__ import annotations

import argparse


def trust_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what says whose signatures count."""
    group = parser.add_argument_group("whose signatures count (of a serving folder)")
    group.add_argument("--public-key", metavar="FILE", help="default: $BEAM_REFINERY_PUBLIC_KEY")
    group.add_argument(
        "--chain", action="append", default=[], metavar="FILE", help="certificates; repeatable"
    )
    group.add_argument("--identity", help="Sigstore identity; goes with --issuer")
    group.add_argument("--issuer", metavar="URL", help="who vouches for the identity")
    group.add_argument(
        "--require-signature", action="store_true", help="an unsigned version is not ok"
    )


def rollback_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``rollback``."""
    parser.add_argument("serving", metavar="SERVING_DIR")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--to", type=int, metavar="VERSION", help="default: the one before")
    which.add_argument(
        "--lift",
        type=int,
        metavar="VERSION",
        help="go nowhere: let a refresh push this version's model again, which was rolled back",
    )
    parser.add_argument("--reason", required=True, metavar="TEXT", help="for the history")
    parser.add_argument(
        "--signing-key", metavar="FILE", help="default: $BEAM_REFINERY_SIGNING_KEY, if set"
    )
    parser.add_argument(
        "--unsigned", action="store_true", help="do not sign, though the old version is signed"
    )
    trust_arguments(parser)


def refresh_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``refresh`` that are about the serving folder."""
    parser.add_argument(
        "--unsigned", action="store_true", help="do not sign, though the live version is signed"
    )


def mirror_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``mirror``."""
    parser.add_argument("serving", metavar="SERVING_DIR")
    parser.add_argument("url", metavar="URL", help="gs://BUCKET/DIR, s3://BUCKET/DIR or a folder")


def history_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``history``."""
    parser.add_argument("serving", metavar="SERVING_DIR")
    parser.add_argument("--json", action="store_true", help="print the events as JSON")
