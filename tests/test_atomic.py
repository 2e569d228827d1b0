import errno
import os
import socket
import stat

import pytest
from processes import output_of

from fastfnn.files.atomic import check_writable, write_and_rename

IS_POSIX = os.name == "posix"
posix = pytest.mark.skipif(not IS_POSIX, reason="modes and special files of POSIX")


@pytest.fixture
def umask():
    """Set the umask of this process, and give it back."""
    before = os.umask(0)
    yield os.umask
    os.umask(before)


def refused(path, kind, number):
    """Return the message with which writing is refused; the folder stays as it was."""
    before = sorted(os.listdir(path.parent)) if path.parent.is_dir() else None
    for write in (lambda: write_and_rename(path, b"new"), lambda: check_writable(path)):
        with pytest.raises(kind) as caught:
            write()
        assert type(caught.value) is kind
        assert caught.value.errno == number
        message = str(caught.value)
        assert message.startswith(f"[Errno {number}] cannot write the file {path} (")
        assert ".part" not in message
        assert before is None or sorted(os.listdir(path.parent)) == before
    return message


@pytest.mark.parametrize("content", [b"", b"new", bytes(range(256)) * 40_000])
def test_a_new_file_and_one_that_replaces_another(content, tmp_path):
    for path in (tmp_path / "new", os.fspath(tmp_path / "new")):
        write_and_rename(path, content)
        assert (tmp_path / "new").read_bytes() == content
        assert os.listdir(tmp_path) == ["new"]


def test_relative_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_and_rename("new", b"1")
    os.mkdir("folder")
    write_and_rename("folder/../other", b"2")
    assert (tmp_path / "new").read_bytes() + (tmp_path / "other").read_bytes() == b"12"


def test_check_writable_changes_nothing(tmp_path):
    (tmp_path / "old").write_text("old")
    before = (tmp_path / "old").stat()
    check_writable(tmp_path / "old")
    check_writable(tmp_path / "new")
    assert os.listdir(tmp_path) == ["old"]
    assert (tmp_path / "old").read_text() == "old"
    assert (tmp_path / "old").stat().st_mtime_ns == before.st_mtime_ns


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
@posix
def test_a_new_file_has_the_mode_of_the_umask(mask, tmp_path, umask):
    umask(mask)
    write_and_rename(tmp_path / "new", b"new")
    with open(tmp_path / "usual", "wb"):
        pass
    assert (tmp_path / "new").stat().st_mode == (tmp_path / "usual").stat().st_mode
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o666 & ~mask


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664, 0o755, 0o666])
@posix
def test_a_file_keeps_the_mode_of_the_one_it_replaces_and_never_has_a_wider_one(
    mode, mask, tmp_path, umask, monkeypatch
):
    (tmp_path / "old").write_text("old")
    (tmp_path / "old").chmod(mode)
    umask(mask)
    modes = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: modes.append(stat.S_IMODE(os.fstat(descriptor).st_mode)))
    real = os.open

    def opened(path, flags, mode=0o777, **options):
        descriptor = real(path, flags, mode, **options)
        if flags & os.O_CREAT:
            modes.append(stat.S_IMODE(os.fstat(descriptor).st_mode))
        return descriptor

    monkeypatch.setattr(os, "open", opened)
    write_and_rename(tmp_path / "old", b"new")
    assert modes[:2] == [mode & ~mask, mode]
    assert stat.S_IMODE((tmp_path / "old").stat().st_mode) == mode


AS_NOBODY = """
    import os
    from fastfnn.files.atomic import check_writable, write_and_rename

    os.chdir({folder!r})
    if os.getuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
    for write in (lambda: write_and_rename({name!r}, b"new"), lambda: check_writable({name!r})):
        try:
            write()
        except OSError as error:
            print(type(error).__name__, error)
"""


@posix
def test_a_file_that_may_not_be_changed_is_not_replaced_where_its_folder_may(tmp_path):
    tmp_path.chmod(0o777)
    (tmp_path / "mine").write_text("old")
    (tmp_path / "mine").chmod(0o444)
    printed = output_of(AS_NOBODY.format(folder=str(tmp_path), name="mine"))
    assert printed == "PermissionError [Errno 13] cannot write the file mine (Permission denied)\n" * 2
    assert (tmp_path / "mine").read_text() == "old"
    assert os.listdir(tmp_path) == ["mine"]


@posix
def test_a_folder_that_may_not_be_changed(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    folder.chmod(0o555)
    tmp_path.chmod(0o755)
    printed = output_of(AS_NOBODY.format(folder=str(tmp_path), name="folder/new"))
    assert printed == "PermissionError [Errno 13] cannot write the file folder/new (Permission denied)\n" * 2
    folder.chmod(0o755)
    assert os.listdir(folder) == []


@pytest.mark.parametrize("relative", [True, False])
@posix
def test_a_symbolic_link_stays_one_and_its_file_is_replaced(relative, tmp_path):
    (tmp_path / "there").mkdir()
    target = tmp_path / "there" / "file"
    target.write_text("old")
    target.chmod(0o604)
    (tmp_path / "second").symlink_to("there/file" if relative else target)
    (tmp_path / "link").symlink_to("second" if relative else tmp_path / "second")
    write_and_rename(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "second").is_symlink()
    assert not target.is_symlink()
    assert target.read_text() == "new"
    assert stat.S_IMODE(target.stat().st_mode) == 0o604
    assert sorted(os.listdir(tmp_path)) == ["link", "second", "there"]
    assert os.listdir(tmp_path / "there") == ["file"]


@posix
def test_a_folder_that_is_a_symbolic_link(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to("there")
    write_and_rename(tmp_path / "link" / "new", b"new")
    assert (tmp_path / "there" / "new").read_text() == "new"
    assert (tmp_path / "link").is_symlink()


@posix
def test_a_link_to_a_file_that_is_not_there_yet_makes_it(tmp_path):
    (tmp_path / "link").symlink_to("new")
    check_writable(tmp_path / "link")
    assert os.listdir(tmp_path) == ["link"]
    write_and_rename(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert not (tmp_path / "new").is_symlink()
    assert (tmp_path / "new").read_text() == "new"


@posix
def test_links_that_lead_nowhere(tmp_path):
    (tmp_path / "far").symlink_to("absent/new")
    (tmp_path / "one").symlink_to("other")
    (tmp_path / "other").symlink_to("one")
    (tmp_path / "own").symlink_to("own")
    message = refused(tmp_path / "far", FileNotFoundError, errno.ENOENT)
    assert f"there is no folder {tmp_path / 'absent'}" in message
    for name in ("one", "own"):
        refused(tmp_path / name, OSError, errno.ELOOP)
        assert (tmp_path / name).is_symlink()


def test_a_missing_folder_and_one_that_is_a_file(tmp_path):
    (tmp_path / "file").write_text("mine")
    message = refused(tmp_path / "absent" / "far" / "new", FileNotFoundError, errno.ENOENT)
    assert f"there is no folder {tmp_path / 'absent' / 'far'}" in message
    if IS_POSIX:
        refused(tmp_path / "file" / "new", NotADirectoryError, errno.ENOTDIR)
    assert (tmp_path / "file").read_text() == "mine"


def test_a_folder_is_refused(tmp_path):
    (tmp_path / "folder").mkdir()
    assert "it is a folder" in refused(tmp_path / "folder", IsADirectoryError, errno.EISDIR)
    if IS_POSIX:
        (tmp_path / "link").symlink_to("folder")
        refused(tmp_path / "link", IsADirectoryError, errno.EISDIR)


@posix
def test_devices_pipes_and_sockets_are_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    names = ["pipe", "link"]
    if os.getuid() == 0 and hasattr(os, "mknod"):
        os.mknod(tmp_path / "device", stat.S_IFCHR | 0o666, os.makedev(1, 3))
        names.append("device")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.path.relpath(tmp_path / "socket"))
        for name in (*names, "socket"):
            assert "it is a device, a pipe or a socket" in refused(tmp_path / name, OSError, errno.EINVAL)
            assert not (tmp_path / name).is_file()


@pytest.mark.parametrize("name", ["x" * 255, "é" * 127, "字" * 85, "." + "x" * 254])
@posix
def test_names_as_long_as_file_systems_allow(name, tmp_path):
    write_and_rename(tmp_path / name, b"1")
    write_and_rename(tmp_path / name, b"2")
    assert os.listdir(tmp_path) == [name]
    assert (tmp_path / name).read_bytes() == b"2"


@posix
def test_names_that_are_too_long(tmp_path):
    refused(tmp_path / ("x" * 256), OSError, errno.ENAMETOOLONG)


@posix
def test_names_that_are_not_utf8(tmp_path):
    name = os.fsdecode(b"mod\xe8le")
    write_and_rename(tmp_path / name, b"1")
    assert os.listdir(os.fsencode(tmp_path)) == [b"mod\xe8le"]
    refused(tmp_path / name / "new", NotADirectoryError, errno.ENOTDIR)


def fault(number):
    def fail(*args, **options):
        raise OSError(number, os.strerror(number), args[0])

    return fail


@pytest.mark.parametrize("exists", [True, False])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS, errno.EPERM, errno.EDQUOT])
@pytest.mark.parametrize("step", ["fsync", "replace", "fchmod"])
def test_a_failure_names_the_file_keeps_the_old_one_and_leaves_nothing(step, number, exists, tmp_path, monkeypatch):
    path = tmp_path / "model"
    if exists:
        path.write_text("old")
        path.chmod(0o664)
    monkeypatch.setattr(os, step, fault(number))
    expected = OSError(number, "")
    if step == "fchmod" and not exists:
        write_and_rename(path, b"new")
        return
    with pytest.raises(OSError, match=f"cannot write the file {path} .{os.strerror(number)}") as caught:
        write_and_rename(path, b"new")
    monkeypatch.undo()
    assert type(caught.value) is type(expected)
    assert caught.value.errno == number
    assert ".part" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    assert os.listdir(tmp_path) == (["model"] if exists else [])
    assert not exists or path.read_text() == "old"


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_ctrl_c_keeps_the_old_file_and_leaves_nothing(step, tmp_path, monkeypatch):
    def press(*args):
        raise KeyboardInterrupt

    (tmp_path / "model").write_text("old")
    monkeypatch.setattr(os, step, press)
    with pytest.raises(KeyboardInterrupt):
        write_and_rename(tmp_path / "model", b"new")
    assert os.listdir(tmp_path) == ["model"]
    assert (tmp_path / "model").read_text() == "old"


# A limit of a process stops a write in the middle, as a full disk does.
FULL = """
    import os, resource
    from fastfnn.files.atomic import write_and_rename

    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    for size in (100_000, 100_001, 10_000_000):
        try:
            write_and_rename({path!r}, bytes(size))
        except OSError as error:
            print(type(error).__name__, error)
        print(os.path.getsize({path!r}), os.listdir({folder!r}))
"""


@posix
def test_a_disk_that_is_full_in_the_middle_of_a_file(tmp_path):
    path = tmp_path / "model"
    path.write_text("old")
    message = f"OSError [Errno {errno.EFBIG}] cannot write the file {path} (File too large)"
    stays = "100000 ['model']"
    printed = output_of(FULL.format(path=str(path), folder=str(tmp_path))).splitlines()
    assert printed == [stays, message, stays, message, stays]


@posix
def test_the_disk_has_the_file_before_its_name_and_the_name_before_the_end(tmp_path, monkeypatch):
    done = []
    synchronise, rename = os.fsync, os.replace

    def fsync(descriptor):
        status = os.fstat(descriptor)
        done.append("folder" if stat.S_ISDIR(status.st_mode) else f"{status.st_size} bytes")
        synchronise(descriptor)

    def replace(source, target):
        done.append("rename")
        rename(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    write_and_rename(tmp_path / "model", bytes(1000))
    assert done == ["1000 bytes", "rename", "folder"]


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP, errno.ENOSYS])
def test_file_systems_that_cannot_synchronise(number, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", fault(number))
    write_and_rename(tmp_path / "model", b"new")
    assert (tmp_path / "model").read_text() == "new"


@posix
def test_a_folder_that_cannot_be_synchronised(tmp_path, monkeypatch):
    synchronise = os.fsync

    def fsync(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EIO, "Input/output error")
        synchronise(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    write_and_rename(tmp_path / "model", b"new")
    assert (tmp_path / "model").read_text() == "new"


@posix
def test_a_file_or_link_that_waits_under_the_temporary_name_is_neither_written_nor_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "urandom", lambda n: b"\xab" * n)
    (tmp_path / "victim").write_text("mine")
    for link in (True, False):
        waiting = tmp_path / f".{'ab' * 8}.part"
        if link:
            waiting.symlink_to("victim")
        else:
            waiting.write_text("mine")
        with pytest.raises(FileExistsError, match=str(tmp_path / "model")):
            write_and_rename(tmp_path / "model", b"new")
        assert waiting.is_symlink() == link
        assert waiting.read_text() == "mine"
        assert sorted(os.listdir(tmp_path)) == [waiting.name, "victim"]
        waiting.unlink()


def test_the_temporary_name_is_drawn_and_the_file_created_for_it_alone(tmp_path, monkeypatch):
    real, seen = os.open, []

    def opened(path, flags, *args, **options):
        if flags & os.O_CREAT:
            seen.append((os.path.basename(path), flags))
        return real(path, flags, *args, **options)

    monkeypatch.setattr(os, "open", opened)
    for _ in range(3):
        write_and_rename(tmp_path / "model", b"new")
    alone = os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
    assert len({name for name, _ in seen}) == 3
    assert all(flags & alone == alone and "model" not in name for name, flags in seen)


def test_nothing_of_a_name_is_in_the_way(tmp_path):
    for name in ("model", ".part", ".model.part", "with space", "new\nline", "-rf"):
        write_and_rename(tmp_path / name, name.encode())
        assert (tmp_path / name).read_text() == name
