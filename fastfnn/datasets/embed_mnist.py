"""Pack the published MNIST files into the one that the package embeds.

Run as ``python -m fastfnn.datasets.embed_mnist FOLDER``, where FOLDER holds the four published files.
"""

import argparse
import hashlib
import lzma
from pathlib import Path

from fastfnn.datasets.idx import read_idx

# The order is the layout of the embedded file: all the images, then all the labels, training before test.
PUBLISHED = (
    "train-images-idx3-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)

# Pixels are single bytes that depend on the byte before (lc=4) and on no alignment (lp=0, pb=0). A reader
# must hold the dictionary in memory: the preset's 64 MiB would shorten the file by only 4%.
FILTERS = [
    {
        "id": lzma.FILTER_LZMA2,
        "preset": 9 | lzma.PRESET_EXTREME,
        "lc": 4,
        "lp": 0,
        "pb": 0,
        "dict_size": 4 << 20,
    }
]

DESTINATION = Path(__file__).parent / "embedded" / "mnist.xz"


def embed(folder: Path, destination: Path) -> tuple[int, str]:
    """Write the embedded file; return its size in bytes and the SHA-256 of its decompressed content."""
    content = b"".join(read_idx(folder / name).tobytes() for name in PUBLISHED)
    size = destination.write_bytes(lzma.compress(content, filters=FILTERS))
    return size, hashlib.sha256(content).hexdigest()


def main() -> None:
    """Embed the files of the folder named on the command line, and print their SHA-256 for `mnist.py`."""
    parser = argparse.ArgumentParser(description="Pack the published MNIST files into the package.")
    parser.add_argument("folder", type=Path, help=f"the folder that holds {', '.join(PUBLISHED)}")
    size, sha256 = embed(parser.parse_args().folder, DESTINATION)
    print(f"{DESTINATION}: {size:,} bytes; SHA256 for mnist.py:\n{sha256}")


if __name__ == "__main__":
    main()
