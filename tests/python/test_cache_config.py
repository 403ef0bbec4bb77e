"""Options of the cache, from arguments and from the environment."""

from pathlib import Path

import pytest

import mithril
from mithril.cache import CacheConfig
from mithril.cache._config import ENVIRONMENT, GIB

DOCUMENT = Path(__file__).parents[2] / "docs" / "cache.md"


def test_the_document_has_the_table() -> None:
    rows = [f"| `{name}` | {f'`{default}`' if default else ''} | {text} |" for name, default, text in ENVIRONMENT]
    assert "\n".join(rows) in DOCUMENT.read_text()


def test_every_variable_is_read_and_its_default_is_the_default() -> None:
    seen = set()

    class Watched(dict[str, str]):
        def get(self, name: str, default: object = None) -> object:
            seen.add(name)
            return super().get(name, default)

    empty = CacheConfig.from_env(
        Watched(HOME="/home/somebody", MITHRIL_INDUCTOR_REMOTE_BACKEND="s3", MITHRIL_INDUCTOR_REMOTE_BUCKET="b")
    )
    assert {name for name, _, _ in ENVIRONMENT} <= seen
    spelled = {name: default for name, default, _ in ENVIRONMENT if name != "MITHRIL_CACHE_DIR"}
    assert CacheConfig.from_env(spelled) == CacheConfig.from_env({}) != empty


def test_the_environment_and_back() -> None:
    config = CacheConfig.from_env(
        {
            "MITHRIL_CACHE_DIR": "/tmp/somewhere",
            "MITHRIL_MAX_SIZE_GB": "1.5",
            "MITHRIL_MAX_FILES": "5000",
            "MITHRIL_INDUCTOR_ENABLED": "no",
            "MITHRIL_REMOTE_URL": "s3://bucket/prefix",
            "MITHRIL_INDUCTOR_REMOTE_REGION": "eu-west-1",
            "MITHRIL_INDUCTOR_REMOTE_ENDPOINT": "http://localhost:9000",
            "MITHRIL_INDUCTOR_AUTO_PUSH": "yes",
            "MITHRIL_INDUCTOR_LAZY_PULL": "off",
            "MITHRIL_REMOTE_READ_ONLY": "1",
            "MITHRIL_OFFLINE": "1",
            "MITHRIL_CACHE_KEY_FILE": "/tmp/key",
            "MITHRIL_CACHE_TRUST": "require",
            "MITHRIL_INDUCTOR_LOG_LEVEL": "INFO",
        }
    )
    assert (config.max_size_bytes, config.max_files) == (GIB * 3 // 2, 5000)
    assert (config.inductor, config.triton, config.auto_push, config.lazy_pull) == (False, True, True, False)
    assert CacheConfig.from_env(config.to_env()) == config


def test_the_url_wins_over_its_parts() -> None:
    parts = {
        "MITHRIL_INDUCTOR_REMOTE_BACKEND": "s3",
        "MITHRIL_INDUCTOR_REMOTE_BUCKET": "bucket",
        "MITHRIL_INDUCTOR_REMOTE_PREFIX": "/team/",
    }
    assert CacheConfig.from_env(parts).remote_url == "s3://bucket/team"
    assert CacheConfig.from_env({**parts, "MITHRIL_REMOTE_URL": "/shared"}).remote_url == "/shared"


def test_patching_inductor_alone() -> None:
    assert not CacheConfig.from_env({"MITHRIL_INDUCTOR_AUTO_PATCH": "1"}).triton
    assert CacheConfig.from_env({"MITHRIL_INDUCTOR_AUTO_PATCH": "1", "MITHRIL_CACHE": "1"}).triton


def test_where_it_lies_by_default() -> None:
    assert CacheConfig.from_env({"XDG_CACHE_HOME": "/caches"}).root_dir == Path("/caches/mithril")
    assert CacheConfig.from_env({}).root_dir == Path("~/.cache/mithril").expanduser()


def test_builders_return_copies(tmp_path: Path) -> None:
    config = CacheConfig(tmp_path)
    changed = config.with_max_size_gb(2).with_inductor(True).with_triton(True).with_remote("s3://b/p", auto_push=True)
    assert (config.max_size_bytes, config.inductor, config.triton, config.remote_url) == (10 * GIB, False, False, None)
    assert (changed.max_size_bytes, changed.inductor, changed.triton) == (2 * GIB, True, True)
    assert (changed.remote_url, changed.auto_push) == ("s3://b/p", True)


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({"MITHRIL_MAX_SIZE_GB": "many"}, "MITHRIL_MAX_SIZE_GB"),
        ({"MITHRIL_MAX_SIZE_GB": "nan"}, "MITHRIL_MAX_SIZE_GB"),
        ({"MITHRIL_MAX_SIZE_GB": "1e400"}, "MITHRIL_MAX_SIZE_GB"),
        ({"MITHRIL_MAX_FILES": "1.5"}, "MITHRIL_MAX_FILES"),
        ({"MITHRIL_OFFLINE": "maybe"}, "MITHRIL_OFFLINE"),
        ({"MITHRIL_CACHE_TRUST": "blindly"}, "MITHRIL_CACHE_TRUST"),
        ({"MITHRIL_CACHE_TRUST": "require"}, "MITHRIL_CACHE_KEY_FILE"),
        ({"MITHRIL_INDUCTOR_REMOTE_BACKEND": "gopher", "MITHRIL_INDUCTOR_REMOTE_BUCKET": "b"}, "REMOTE_BACKEND"),
        ({"MITHRIL_INDUCTOR_REMOTE_BACKEND": "s3"}, "MITHRIL_INDUCTOR_REMOTE_BUCKET"),
        ({"MITHRIL_MAX_SIZE_GB": "0"}, "max_size_bytes"),
    ],
    ids=str,
)
def test_what_cannot_be_is_named(environment: dict[str, str], named: str) -> None:
    with pytest.raises(mithril.InvalidArgumentError, match=named):
        CacheConfig.from_env(environment)
