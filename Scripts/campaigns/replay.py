"""What a disk may hold after the power has failed: a model of files and folders that takes the calls that record.c noted.

POSIX promises what was flushed: the bytes of a file by fsync of the file, names by fsync of their folder. Of all later changes
any may be on the disk, page by page. The model knows two mercies only, which all common file systems have: the changes of one
folder come in their order, and a rename comes as a whole.
"""

import hashlib
import os
import struct

from campaign import require

HEADER = struct.Struct("<cQqIIQ")
PAGE = 4096


def events(path):
    """The calls of a record: which, inode, position, two paths, bytes."""
    with open(path, "rb") as file:
        while head := file.read(HEADER.size):
            call, inode, position, first, second, count = HEADER.unpack(head)
            names = [file.read(length).decode() for length in (first, second)]
            yield call.decode(), inode, position, *names, file.read(count)


class Chance:
    """The shares of changes of names and of bytes that reach the disk without having been flushed."""

    def __init__(self, names, data, generator=None):
        self.names, self.data, self.generator = names, data, generator

    def __call__(self, share):
        return share == 1 or share > 0 and self.generator.random() < share


LOST, EMPTY, KEPT = Chance(0, 0), Chance(1, 0), Chance(1, 1)


def random_chance(generator):
    return Chance(generator.choice([0.5, 0.9, 1]), generator.choice([0, 0.1, 0.5, 0.9]), generator)


class File:
    def __init__(self, data=b""):
        # The bytes as programs see them, those that are safe, and the changes between.
        self.data, self.flushed, self.later = bytearray(data), bytes(data), []

    def change(self, position, data=None):
        """Bytes from a position on, or, without any, the file's end there."""
        self.later.append((position, data))
        apply(self.data, position, data)

    def flush(self):
        self.flushed, self.later = bytes(self.data), []

    def content(self, chance):
        if not self.later or chance.data == 0:
            return self.flushed
        if chance.data == 1:
            return bytes(self.data)
        content = bytearray(self.flushed)
        for position, data in self.later:
            if data is None and chance(chance.data):
                apply(content, position, None)
            start = 0
            while data and start < len(data):
                end = min(len(data), ((position + start) // PAGE + 1) * PAGE - position)
                if chance(chance.data):
                    apply(content, position + start, data[start:end])
                start = end
        # A file may have its size before it has its bytes.
        return bytes(content.ljust(len(self.data), b"\0") if chance(0.5) else content)


def apply(content, position, data):
    if data is None:
        del content[position:]
    content.extend(bytes(max(0, position + len(data or b"") - len(content))))
    if data:
        content[position:position + len(data)] = data


class Folder:
    def __init__(self, names=()):
        self.names, self.flushed = dict(names), dict(names)


class State:
    """What a disk holds after a power failure."""

    def __init__(self, disk, chance):
        self.chance, self.root, self.changed, self.contents, self.digests = chance, disk.root, {}, {}, disk.digests
        stopped = set()
        for changes in disk.later:
            folders = {folder for folder, _, _ in changes}
            if folders & stopped or not chance(chance.names):
                stopped |= folders
                continue
            for folder, name, node in changes:
                assign(self.changed.setdefault(folder, dict(folder.flushed)), name, node)

    def names(self, folder):
        return self.changed.get(folder, folder.flushed)

    def content(self, file):
        if file not in self.contents:
            self.contents[file] = file.content(self.chance)
        return self.contents[file]

    def digest(self, path):
        """The digest of an output as campaign.digest gives it; None if there is none."""
        node = self.root
        for name in path.split("/"):
            node = self.names(node).get(name) if isinstance(node, Folder) else None
        return node and self.digest_of(node)

    def digest_of(self, node):
        if isinstance(node, File):
            content = self.content(node)
            # Most states have the same bytes in most files.
            if self.digests.get(node, (None,))[0] is not content:
                self.digests[node] = content, hashlib.blake2b(content, digest_size=16).hexdigest()
            return self.digests[node][1]
        state = hashlib.blake2b(digest_size=16)
        for path, file in self.files(node, ""):
            state.update(path.encode() + b"\0" + self.digest_of(file).encode())
        return state.hexdigest()

    def files(self, folder, prefix):
        entries = sorted(self.names(folder).items())
        yield from ((prefix + name, node) for name, node in entries if isinstance(node, File))
        for name, node in entries:
            if isinstance(node, Folder):
                yield from self.files(node, prefix + name + "/")

    def write(self, path, kept, folder=None, written=None):
        """Puts the state on the disk, but for the names that are `kept` there."""
        written = {} if written is None else written
        for name, node in self.names(folder or self.root).items():
            target = os.path.join(path, name)
            if name in kept:
                continue
            if isinstance(node, Folder):
                os.mkdir(target)
                self.write(target, (), node, written)
            elif node in written:
                os.link(written[node], target)
            else:
                written[node] = target
                with open(target, "wb") as file:
                    file.write(self.content(node))


def assign(names, name, node):
    names.pop(name, None)
    if node is not None:
        names[name] = node


class Disk:
    """The files and folders below a folder, and the changes of names that were not flushed."""

    def __init__(self, folder):
        self.folder, self.inodes, self.later, self.digests = os.path.realpath(folder), {}, [], {}
        self.root = self.scan(self.folder)

    def scan(self, path):
        if os.path.isdir(path):
            node = Folder({name: self.scan(os.path.join(path, name)) for name in os.listdir(path)})
        else:
            with open(path, "rb") as file:
                node = File(file.read())
        self.inodes[os.stat(path).st_ino] = node
        return node

    def place(self, path):
        """The folder of a path, and its name there; no folder for a path outside."""
        path = os.path.normpath(os.path.join(self.folder, path))
        if not path.startswith(self.folder + "/"):
            return None, None
        node = self.root
        *folders, name = path[len(self.folder) + 1:].split("/")
        for folder in folders:
            node = node.names[folder]
        return node, name

    def take(self, event):
        """Takes one call of a record."""
        call, inode, position, first, second, data = event
        if call in "cm":
            self.inodes[inode] = File() if call == "c" else Folder()
            self.name([(*self.place(first), self.inodes[inode])])
        elif call == "u":
            self.name([(*self.place(first), None)])
        elif call in "rl":
            (source, old), (target, new) = self.place(first), self.place(second)
            left = source.names[old] if call == "l" else target.names[new] if position else None
            self.name([(target, new, source.names[old]), (source, old, left)])
        else:
            require(inode in self.inodes, f"a file that isn't known is changed ({call})")
            node = self.inodes[inode]
            if call == "s":
                self.flush(node)
            elif call == "w":
                node.change(position, data)
            elif call == "t" or position > len(node.data):
                node.change(position)

    def name(self, changes):
        changes = [change for change in changes if change[0] is not None]
        for folder, name, node in changes:
            assign(folder.names, name, node)
        self.later.append(changes)

    def flush(self, node):
        if isinstance(node, File):
            node.flush()
            return
        # With a folder's changes come those in other folders that were before them.
        reached, forced, left = {node}, [], []
        for changes in reversed(self.later):
            folders = {folder for folder, _, _ in changes}
            if folders & reached:
                reached |= folders
                forced.append(changes)
            else:
                left.append(changes)
        self.later = left[::-1]
        for changes in reversed(forced):
            for folder, name, entry in changes:
                assign(folder.flushed, name, entry)
