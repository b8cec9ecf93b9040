"""The commands about a serving folder: verify, rollback, mirror, history."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from components.serving.lift import lift
from components.serving.mirror import mirror, result_lines
from components.serving.rollback import rollback
from components.serving.show import events_of, history_lines, verdict_lines
from components.serving.signing import Trust, signing_key, trust
from components.serving.store import is_serving_folder
from components.serving.verify import verify_serving
from schemas.errors import EXIT_DONE, EXIT_FAILED, InputError


def run_verify(args: argparse.Namespace) -> int:
    """Verify every version of ``args.dataset``, a serving folder, and print the verdict."""
    verdict = verify_serving(Path(args.dataset), whose=_trust(args))
    if args.json:
        print(json.dumps(verdict.to_json(), indent=1))
    else:
        print("\n".join(verdict_lines(verdict)))
    return EXIT_DONE if verdict.ok else EXIT_FAILED


def run_rollback(args: argparse.Namespace) -> int:
    """Make an earlier model live again, or pushable with ``--lift``, and print which."""
    if args.lift is not None:
        lift(Path(args.serving), args.lift, reason=args.reason)
        print(f"a refresh may push the model of version {args.lift} again, if its gates pass")
        return EXIT_DONE
    done = rollback(
        Path(args.serving),
        to=args.to,
        reason=args.reason,
        key=None if args.unsigned else signing_key(args.signing_key),
        unsigned=args.unsigned,
        whose=_trust(args),
    )
    print(
        f"version {done.version} is live: the model of version {done.origin} "
        f"({done.digest[:12]}), in place of version {done.replaced}"
    )
    return EXIT_DONE


def run_mirror(args: argparse.Namespace) -> int:
    """Bring the place of ``args.url`` to the state of a serving folder, and print what changed."""
    print("\n".join(result_lines(mirror(Path(args.serving), args.url))))
    return EXIT_DONE


def run_history(args: argparse.Namespace) -> int:
    """Print what happened to a serving folder."""
    serving = Path(args.serving)
    if not is_serving_folder(serving):
        raise InputError(f"{serving}: no serving folder: name the one that models are pushed to")
    if args.json:
        print(json.dumps([one.to_json() for one in events_of(serving)], indent=1))
    else:
        print("\n".join(history_lines(serving)))
    return EXIT_DONE


def _trust(args: argparse.Namespace) -> Trust:
    return trust(
        public_key=args.public_key,
        chain=args.chain,
        identity=args.identity,
        issuer=args.issuer,
        required=args.require_signature,
    )
