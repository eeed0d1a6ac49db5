"""Keeps the requests of scripts/fuzz on this machine, and lets a share of them find something."""

import json
import os
import re
import zlib

import schemathesis

NAME = re.compile(r"^\[?[A-Za-z0-9._:%-]+\]?$")

# What fuzz_seed.py has made, by the first part of the path that it is under.
SEEDS = json.loads(os.environ.get("FUZZ_SEEDS", "{}"))


@schemathesis.hook
def before_call(context, case, kwargs):
    """Names things that exist in three of four requests, and keeps all of them here."""
    if SEEDS and case.method.upper() != "DELETE" and share(case) != 0:
        name_what_exists(case)
    stay_here(case)


def share(case):
    """Returns 0 to 3 by what the request says, so that a run with the same seed is the same run."""
    said = [case.path_parameters, case.query, case.body if isinstance(case.body, (dict, list)) else None]
    return zlib.crc32(repr(said).encode()) % 4


def name_what_exists(case):
    """Puts known ids into the path, the query and the body.

    Deletions keep their made-up ones, since what is gone is of no use to the requests after them.
    """
    kind = case.path.strip("/").removeprefix("api/").split("/")[0]
    for name in case.path_parameters or {}:
        if kind in SEEDS:
            case.path_parameters[name] = SEEDS[kind]
    known = {
        "database_id": SEEDS["databases"], "engine_id": SEEDS["engines"], "target_engine_id": SEEDS["engines"],
        "policy_id": SEEDS["backup-policies"], "blob_name": SEEDS["blob_name"],
    }
    for holder in (case.query, case.body):
        if isinstance(holder, dict):
            for name, value in known.items():
                # A value of a wrong type is what the request is about.
                if isinstance(holder.get(name), str):
                    holder[name] = value


def stay_here(case):
    """Puts an address of this machine, where nobody listens, in place of a host that could be real.

    The client programs would look up made-up names, for up to ten seconds each. Hosts that the API has to
    refuse stay as they are. Different names become different addresses, since servers must differ.
    """
    body = case.body
    if not isinstance(body, dict):
        return
    for holder in (body, body.get("target")):
        if isinstance(holder, dict) and isinstance(holder.get("host"), str) and NAME.match(holder["host"]):
            number = zlib.crc32(holder["host"].encode())
            holder["host"] = f"127.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
