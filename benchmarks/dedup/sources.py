"""Where the corpora's text comes from: documentation in Debian packages, fetched and unpacked, and what the system has.

Markup is stripped, so that a corpus looks like text extracted from pages. Each source has a cap: none dominates. Other
releases of a package hold other text: `stats.json` of a corpus names those it is made of.
"""

import gzip
import hashlib
import html
import re
import shutil
import subprocess
import sysconfig
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from benchmarks import measure

FOLDER = measure.ROOT / "build" / "dedup" / "sources"

# Debian packages (bookworm) and folders of the system, with the megabytes of text to take.
PACKAGES = {
    "anarchism": 20,
    "apache2-doc": 25,
    "cppreference-doc-en-html": 30,
    "debian-handbook": 25,
    "debian-policy": 10,
    "dict-foldoc": 6,
    "dict-gcide": 40,
    "gimp-help-en": 15,
    "git-doc": 15,
    "libreoffice-help-en-us": 15,
    "linux-doc-6.1": 40,
    "linux-source-6.1": 120,
    "manpages-dev": 10,
    "nodejs-doc": 20,
    "openjdk-17-doc": 40,
    "perl-doc": 20,
    "postgresql-doc-15": 20,
    "python-django-doc": 20,
    "python3.11-doc": 25,
    "rust-doc": 40,
    "sqlite3-doc": 25,
    "vim-doc": 20,
    "wordnet-base": 30,
}
SYSTEM = {"/usr/share/doc": 60, "/usr/share/man": 40, sysconfig.get_path("stdlib"): 25}

_LARGEST = 40 << 20  # bytes of a file
_NO_TEXT = re.compile(
    r"\.(png|jpe?g|gif|svgz?|ico|eps|pdf|ps|woff2?|ttf|eot|wav|js|css|json|map|inv|idx|index|db|dic|po|g?mo|so|pyc"
    r"|xsl|dtd|dsl|dtb|bin|zip|xz|bz2|epub|cache)(\.gz)?$",
    re.IGNORECASE,
)
_HTML_DROPPED = re.compile(r"<!--.*?-->|<(script|style|head)\b.*?</\1\s*>", re.DOTALL | re.IGNORECASE)
_HTML_BLOCK = re.compile(r"</?(?:p|div|section|h[1-6]|ul|ol|li|dl|dt|dd|table|tr|pre|br|hr)\b[^>]*>", re.IGNORECASE)
_HTML_TAG = re.compile(r"<[^>]{1,2000}>")
_MAN_PAGE = re.compile(r"\.\d\w*$")
_MAN_COMMENT = re.compile(r"^[.'].{0,3}\\\".*$", re.MULTILINE)
_MAN_REQUEST = re.compile(r"^\.[A-Za-z]{1,3} ?", re.MULTILINE)
_MAN_ESCAPE = re.compile(r"\\f(?:\([A-Z]{2}|\[\w*\]|.)|\\[&|^%/,:]")
_BLANKS = re.compile(r"[ \t\u00a0]+")
_GAP = re.compile(r"\n\s*\n+")


def fetch(package: str) -> Path:
    """The folder with the package's files, downloaded and unpacked if it is not there yet."""
    folder = FOLDER / package
    if folder.exists():
        return folder
    if shutil.which("apt-get") is None:
        raise SystemExit(f"no apt-get to fetch {package} with: unpack it into {folder}, or name folders with --text")
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=FOLDER, prefix="fetching-") as name:
        part = Path(name)
        print(f"fetching {package}", flush=True)
        subprocess.run(["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", package], cwd=part, check=True)
        archive = next(part.glob("*.deb"))
        unpacked = part / "unpacked"
        subprocess.run(["dpkg-deb", "-x", archive, unpacked], check=True)
        for tree in unpacked.glob("usr/src/*.tar.xz"):  # of the kernel's source only what reads like text
            wanted = ["--wildcards", "*.c", "*.rst", "*.txt"]
            subprocess.run(["tar", "-xJf", tree, "-C", unpacked, *wanted], check=True)
            tree.unlink()
        (unpacked / "PACKAGE").write_text(archive.name + "\n")
        unpacked.rename(folder)
    return folder


def sources() -> dict[Path, float]:
    """Folders and the megabytes of text to take of each."""
    found = {Path(name): float(cap) for name, cap in SYSTEM.items() if Path(name).is_dir()}
    return found | {fetch(package): float(cap) for package, cap in PACKAGES.items()}


def texts(folder: Path, megabytes: float) -> Iterator[str]:
    """Texts of the folder's files, until there are enough, in an order that has nothing to do with their names."""
    files = [path for path in folder.rglob("*") if not _NO_TEXT.search(path.name) and path.name != "PACKAGE"]
    files = [path for path in files if path.is_file() and not path.is_symlink()]
    files.sort(key=lambda path: hashlib.md5(str(path.relative_to(folder)).encode()).digest())
    left = megabytes * 1e6
    for path in files:
        if left <= 0:
            return
        if text := read(path):
            left -= len(text)
            yield text


def read(path: Path) -> str:
    """The text of one file without its markup; nothing for what is not text."""
    if not 200 <= path.stat().st_size <= _LARGEST:
        return ""
    data, name = path.read_bytes(), path.name
    if name.endswith((".gz", ".dz")):
        try:
            data, name = gzip.decompress(data), name[:-3]
        except (OSError, EOFError, zlib.error):
            return ""
    if b"\0" in data[:4096]:
        return ""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    if "<html" in text[:2000].lower() or name.endswith((".html", ".xhtml", ".xml", ".htm")):
        text = _HTML_BLOCK.sub("\n\n", _HTML_DROPPED.sub(" ", text))
        text = html.unescape(_HTML_TAG.sub(" ", text)).encode("utf-8", "replace").decode()
    elif _MAN_PAGE.search(name) and ("\n.SH" in text or "\n.Sh" in text):
        text = _MAN_ESCAPE.sub("", _MAN_REQUEST.sub("", _MAN_COMMENT.sub("", text)))
    text = text.replace("\r", "").replace("\b", "").replace("\f", "\n\n")
    return _GAP.sub("\n\n", _BLANKS.sub(" ", text)).strip()
