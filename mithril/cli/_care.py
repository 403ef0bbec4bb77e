"""`mithril cache gc`, `verify` and `doctor`: keeping a cache in order."""

import os
from dataclasses import asdict

from mithril.cli._command import Call, command
from mithril.cli._exit_codes import CHECK_FAILED, FINE
from mithril.cli._output import bytes_text, note, write_fields, write_json, write_table


@command("gc")
def gc(call: Call) -> None:
    """Bring the cache back under its quota.

    The least recently used goes, and what is left over or broken. Of torch's and Triton's working folders, which share
    the quota, files younger than an hour stay.
    """
    manager = call.manager()
    before = manager.scan().total_size_bytes
    result = manager.gc()
    total = manager.scan().total_size_bytes
    fields = {
        **asdict(result),
        "freed_bytes": max(0, before - total),
        "total_size_bytes": total,
        "max_size_bytes": manager.config.max_size_bytes,
    }
    if call.as_json:
        write_json(fields)
        return
    write_fields(
        {
            "evicted": f"{result.evicted} files, {bytes_text(result.evicted_bytes)}",
            "dropped": f"{result.dropped} records that were damaged or not whole",
            "freed": bytes_text(max(0, before - total)),
            "size": f"{bytes_text(total)}, working folders included, of {bytes_text(manager.config.max_size_bytes)}",
        }
    )


@command("verify", failed="damage was found; it is in quarantine now, and a miss")
def verify(call: Call) -> int:
    """Read everything and check it.

    Every object is hashed, every record decoded, and its signature checked if a policy says so.
    """
    result = call.manager().store.verify()
    if call.as_json:
        write_json(asdict(result))
    else:
        write_fields(
            {
                "objects": str(result.objects),
                "records": str(result.records),
                "read": bytes_text(result.bytes),
                "damaged": str(len(result.damaged)),
            }
        )
        for name in result.damaged:
            print(f"damaged: {name}")
    if result.unreadable:
        note(f"{len(result.unreadable)} could not be checked: not readable for this user, or not signed as demanded")
    return CHECK_FAILED if result.damaged else FINE


@command("doctor", remote=True, failed="a problem was found")
def doctor(call: Call) -> int:
    """Look for what keeps the cache from working.

    Variables, folder, file system, clock, keys, shared store, torch, compiler, Triton.
    Imports torch in a process of its own, which takes seconds. A warning costs speed or safety; a problem keeps
    something from working.
    """
    from mithril.cache._doctor import examine

    checks = examine(os.environ, root_dir=call.directory, remote_url=call.remote_url)
    count = {status: sum(check.status == status for check in checks) for status in ("problem", "warning")}
    if call.as_json:
        write_json(
            {
                "problems": count["problem"],
                "warnings": count["warning"],
                "checks": [asdict(check) for check in checks],
            }
        )
    else:
        write_table(("check", "status", "finding"), [(check.name, check.status, check.finding) for check in checks])
    return CHECK_FAILED if count["problem"] else FINE
