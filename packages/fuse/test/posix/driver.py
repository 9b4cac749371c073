"""Makes system calls for the POSIX suite and tells what came back.

Started as root with the folder to work in and a folder of another filesystem. Each line of standard input is a case as JSON,
{"id": "c1", "steps": [[user, call, argument...], ...]}; each is answered with one line, {"id": "c1", "results": [...]}.
A case runs in a fresh folder (mode 0777, root's) of its own, on a
read-only mount in "tree". A user is "uid:gid[,group...]".

A result is "ok", the name of an error, a number, a string or an object of facts. Nothing here knows what is expected.
"""
import array, ctypes, ctypes.util, errno, fcntl, json, mmap, os, resource, signal, socket, stat, struct, sys, time

libc = ctypes.CDLL(None, use_errno=True)
libc.readdir.restype = ctypes.c_void_p
libc.opendir.restype = ctypes.c_void_p
libc.telldir.restype = ctypes.c_long
libc.telldir.argtypes = libc.readdir.argtypes = libc.rewinddir.argtypes = libc.closedir.argtypes = [ctypes.c_void_p]
libc.seekdir.argtypes = [ctypes.c_void_p, ctypes.c_long]
libc.syscall.restype = ctypes.c_long

AT_FDCWD = -100
FLAGS = {name: getattr(os, name) for name in dir(os) if name.startswith("O_")}
FLAGS["O_LARGEFILE"] = 0
TYPES = {stat.S_IFREG: "file", stat.S_IFDIR: "dir", stat.S_IFLNK: "link", stat.S_IFCHR: "char", stat.S_IFBLK: "block",
         stat.S_IFIFO: "fifo", stat.S_IFSOCK: "socket"}

slots, dirs, marks = {}, {}, {}
other_folder = ""
mount_point = ""
sandbox = ""
silent = -1


def check(result):
    if result == -1:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def raw(number, *args):
    return check(libc.syscall(number, *[ctypes.c_long(a) if isinstance(a, int) else a for a in args]))


def path(text):
    """"@other" leads to another filesystem, "@mount" to the mount's root, "@here" to the case's folder, absolute."""
    for prefix, folder in (("@other", other_folder), ("@mount", mount_point), ("@here", sandbox)):
        if text == prefix or text.startswith(prefix + "/"):
            text = folder + text[len(prefix):]
    return text.encode("latin1")


def bits(text):
    value = 0
    for name in text.split("|"):
        value |= FLAGS[name]
    return value


def data(value):
    return value.encode("latin1") if isinstance(value, str) else value["fill"].encode("latin1") * value["count"]


def fd(name):
    return slots[name]


def facts(st):
    return {"type": TYPES[stat.S_IFMT(st.st_mode)], "mode": "%04o" % stat.S_IMODE(st.st_mode), "nlink": st.st_nlink,
            "uid": st.st_uid, "gid": st.st_gid, "size": st.st_size, "rdev": "%d:%d" % (os.major(st.st_rdev), os.minor(st.st_rdev)),
            "blocks": st.st_blocks, "blksize": st.st_blksize, "isIno": st.st_ino > 0,
            "atime": "%d.%09d" % divmod(st.st_atime_ns, 10**9), "mtime": "%d.%09d" % divmod(st.st_mtime_ns, 10**9)}


def op_open(p, flags, mode=0o666, slot=None, at=None):
    opened = os.open(path(p), bits(flags), mode, dir_fd=None if at is None else fd(at))
    if slot is None:
        os.close(opened)
    else:
        if slot in slots:
            os.close(slots[slot])
        slots[slot] = opened
    return "ok"


def op_close(slot):
    os.close(slots.pop(slot))
    return "ok"


def op_dup(slot, new):
    slots[new] = os.dup(fd(slot))
    return "ok"


def op_getfl(slot):
    value = fcntl.fcntl(fd(slot), fcntl.F_GETFL)
    return "|".join(n for n in ("O_APPEND", "O_NONBLOCK", "O_DIRECT", "O_NOATIME") if value & FLAGS[n]) or "none"


def op_setfl(slot, flags):
    fcntl.fcntl(fd(slot), fcntl.F_SETFL, bits(flags))
    return "ok"


def text_of(value):
    return "data:" + value.decode("latin1")


def op_read(slot, count):
    return text_of(os.read(fd(slot), count))


def op_pread(slot, count, pos):
    return text_of(os.pread(fd(slot), count, pos))


def op_readv(slot, *counts):
    parts = [bytearray(n) for n in counts]
    got = os.readv(fd(slot), parts)
    return text_of(b"".join(bytes(p) for p in parts)[:got])


def op_write(slot, value):
    return os.write(fd(slot), data(value))


def op_pwrite(slot, value, pos):
    return os.pwrite(fd(slot), data(value), pos)


def op_writev(slot, *values):
    return os.writev(fd(slot), [data(v) for v in values])


def op_put(p, value="", mode=0o644):
    """A file with this content."""
    made = os.open(path(p), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        value = data(value)
        if value and os.write(made, value) != len(value):
            return "short"
    finally:
        os.close(made)
    return "ok"


def op_cat(p):
    opened = os.open(path(p), os.O_RDONLY)
    try:
        return text_of(os.read(opened, 65536))
    finally:
        os.close(opened)


def op_append(p, value):
    opened = os.open(path(p), os.O_WRONLY | os.O_APPEND)
    try:
        return os.write(opened, data(value))
    finally:
        os.close(opened)


def op_sum(p):
    """Length of a file, and which bytes it has, each with how many."""
    with open(path(p), "rb") as f:
        content = f.read()
    return "%d:" % len(content) + ",".join("%s*%d" % (chr(b) if b else "0", content.count(bytes([b]))) for b in sorted(set(content)))


def aligned(count):
    return mmap.mmap(-1, max(count, 4096))


def op_directwrite(slot, value, pos):
    value = data(value)
    buffer = aligned(len(value))
    buffer[: len(value)] = value
    return os.pwritev(fd(slot), [memoryview(buffer)[: len(value)]], pos)


def op_directread(slot, count, pos):
    buffer = aligned(count)
    got = os.preadv(fd(slot), [memoryview(buffer)[:count]], pos)
    kinds = sorted(set(buffer[:got]))
    return "%d:" % got + "".join(chr(b) if b else "0" for b in kinds)


def op_mmapwrite(slot, count, pos, value):
    with mmap.mmap(fd(slot), count) as m:
        m[pos : pos + len(value)] = value.encode("latin1")
        m.flush()
    return "ok"


def op_mmapread(slot, count, pos, length):
    with mmap.mmap(fd(slot), count, prot=mmap.PROT_READ) as m:
        return text_of(m[pos : pos + length])


def op_mmapprivate(slot, count, value):
    with mmap.mmap(fd(slot), count, flags=mmap.MAP_PRIVATE) as m:
        m[0 : len(value)] = value.encode("latin1")
        return text_of(m[0 : len(value)])


def op_lseek(slot, pos, whence="SET"):
    names = {"SET": 0, "CUR": 1, "END": 2, "DATA": 3, "HOLE": 4}
    return os.lseek(fd(slot), pos, names[whence] if isinstance(whence, str) else whence)


def op_fallocate(slot, mode, pos, length):
    raw(SYS["fallocate"], fd(slot), mode, pos, length)
    return "ok"


def op_posix_fadvise(slot, pos, length, advice):
    os.posix_fadvise(fd(slot), pos, length, advice)
    return "ok"


def op_copy(source, target, count, source_pos=None, target_pos=None):
    return os.copy_file_range(fd(source), fd(target), count, source_pos, target_pos)


def op_sendfile(target, source, pos, count):
    return os.sendfile(fd(target), fd(source), pos, count)


def op_splice(source, target, count):
    """From a file through a pipe into a file."""
    r, w = os.pipe()
    try:
        got = os.splice(fd(source), w, count)
        return os.splice(r, fd(target), got)
    finally:
        os.close(r)
        os.close(w)


def simple(call):
    def run(*args):
        call(*args)
        return "ok"
    return run


def op_stat(p):
    return facts(os.stat(path(p)))


def op_lstat(p):
    return facts(os.lstat(path(p)))


def op_fstat(slot):
    return facts(os.fstat(fd(slot)))


def op_sameino(a, b):
    x, y = os.lstat(path(a)), os.lstat(path(b))
    return (x.st_ino, x.st_dev) == (y.st_ino, y.st_dev)


def op_statfs(p):
    st = os.statvfs(path(p))
    return {"bsize": st.f_bsize, "frsize": st.f_frsize, "namemax": st.f_namemax, "hasFree": 0 < st.f_bfree <= st.f_blocks,
            "hasFiles": 0 < st.f_ffree <= st.f_files, "availIsLess": st.f_bavail <= st.f_bfree, "blocks": st.f_blocks,
            "files": st.f_files, "readOnly": bool(st.f_flag & os.ST_RDONLY)}


def sync_mount():
    """Not sync(2): that waits for every mount of the machine, and one of them may hang."""
    opened = os.open(mount_point, os.O_RDONLY)
    try:
        check(libc.syncfs(opened))
    finally:
        os.close(opened)


def op_freed(p, label=None):
    """Without a label: remembers the free space. With: whether it is that again, soon."""
    if label is None:
        sync_mount()
        st = os.statvfs(path(p))
        marks["free"] = (st.f_bfree, st.f_ffree)
        return "ok"
    for _ in range(100):
        st = os.statvfs(path(p))
        if (st.f_bfree, st.f_ffree) == marks["free"]:
            return True
        sync_mount()
        time.sleep(0.02)
    return False


def op_taken(p):
    """Blocks and inodes less than at the mark."""
    st = os.statvfs(path(p))
    return {"blocks": marks["free"][0] - st.f_bfree > 0, "files": marks["free"][1] - st.f_ffree}


def op_access(p, mode):
    names = {"F": os.F_OK, "R": os.R_OK, "W": os.W_OK, "X": os.X_OK}
    raw(SYS["faccessat"], AT_FDCWD, path(p), sum(names[c] for c in mode))
    return "ok"


def op_mknod(p, kind, mode=0o644, major=0, minor=0):
    kinds = {name: number for number, name in TYPES.items()}
    kinds["none"] = 0
    os.mknod(path(p), kinds[kind] | mode, os.makedev(major, minor))
    return "ok"


def op_socket(p):
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(path(p))
    return "ok"


def op_link(a, b, follow=False):
    # Python's own follows or not by the platform's link(2); Linux's does not follow.
    raw(SYS["linkat"], AT_FDCWD, path(a), AT_FDCWD, path(b), 0x400 if follow else 0)
    return "ok"


def op_linkfd(slot, b, via_proc=False):
    if via_proc:
        raw(SYS["linkat"], AT_FDCWD, b"/proc/self/fd/%d" % fd(slot), AT_FDCWD, path(b), 0x400)
    else:
        raw(SYS["linkat"], fd(slot), b"", AT_FDCWD, path(b), 0x1000)
    return "ok"


def op_rename(a, b, *flags):
    names = {"NOREPLACE": 1, "EXCHANGE": 2, "WHITEOUT": 4, "UNKNOWN": 64}
    raw(SYS["renameat2"], AT_FDCWD, path(a), AT_FDCWD, path(b), sum(names[f] for f in flags))
    return "ok"


def op_readlink(p):
    return text_of(os.readlink(path(p)))


def op_truncate(p, size):
    os.truncate(path(p), size)
    return "ok"


def op_ftruncate(slot, size):
    os.ftruncate(fd(slot), size)
    return "ok"


def stamp(value):
    if value == "now":
        return 0, (1 << 30) - 1
    if value == "omit":
        return 0, (1 << 30) - 2
    if isinstance(value, list):
        return value[0], value[1]
    return value, 0


def utimensat(dirfd, name, atime, mtime, flags):
    block = struct.pack("qqqq", *stamp(atime), *stamp(mtime)) if atime is not None else None
    raw(SYS["utimensat"], dirfd, ctypes.c_char_p(name), ctypes.c_char_p(block), flags)
    return "ok"


def op_utimens(p, atime=None, mtime=None):
    return utimensat(AT_FDCWD, path(p), atime, mtime, 0)


def op_lutimens(p, atime=None, mtime=None):
    return utimensat(AT_FDCWD, path(p), atime, mtime, 0x100)


def op_futimens(slot, atime=None, mtime=None):
    return utimensat(fd(slot), None, atime, mtime, 0)


def stamps(name):
    st = os.fstat(fd(name[3:])) if name.startswith("fd:") else os.lstat(path(name))
    return st.st_atime_ns, st.st_mtime_ns, st.st_ctime_ns


def op_mark(*names):
    """Remembers the times of files; lets the clock move on."""
    for name in names:
        marks[name] = stamps(name)
    time.sleep(0.012)
    return "ok"


def op_moved(name):
    """Which times (a, m, c) are later than at the mark; "<" = earlier; "-" = none."""
    result = ""
    for letter, old, new in zip("amc", marks[name], stamps(name)):
        result += letter if new > old else letter + "<" if new < old else ""
    return result or "-"


def op_mtime_is_ctime(name):
    _, m, c = stamps(name)
    return m == c


def op_recent(name):
    """Which times are of the last seconds."""
    now = time.time_ns()
    return "".join(letter for letter, at in zip("amc", stamps(name)) if abs(now - at) < 20 * 10**9) or "-"


def op_list(p):
    return ",".join(sorted(n.decode("latin1") for n in os.listdir(path(p))))


def op_setxattr(p, name, value, how="", follow=True):
    flags = {"": 0, "create": os.XATTR_CREATE, "replace": os.XATTR_REPLACE, "both": 3, "bad": 8}[how]
    os.setxattr(path(p), name.encode("latin1"), data(value), flags, follow_symlinks=follow)
    return "ok"


def op_getxattr(p, name, follow=True):
    return text_of(os.getxattr(path(p), name.encode("latin1"), follow_symlinks=follow))


def op_getxattrsize(p, name, size):
    buffer = ctypes.create_string_buffer(max(size, 1))
    return raw(SYS["getxattr"], path(p), name.encode("latin1"), ctypes.cast(buffer, ctypes.c_void_p) if size else None, size)


def op_listxattr(p, follow=True):
    return ",".join(sorted(os.listxattr(path(p), follow_symlinks=follow)))


def op_listxattrsize(p, size):
    buffer = ctypes.create_string_buffer(max(size, 1))
    return raw(SYS["listxattr"], path(p), ctypes.cast(buffer, ctypes.c_void_p) if size else None, size)


def op_removexattr(p, name, follow=True):
    os.removexattr(path(p), name.encode("latin1"), follow_symlinks=follow)
    return "ok"


def op_fsetxattr(slot, name, value):
    os.setxattr(fd(slot), name.encode("latin1"), data(value))
    return "ok"


def op_fgetxattr(slot, name):
    return text_of(os.getxattr(fd(slot), name.encode("latin1")))


ACL_TAGS = {"u:": 0x01, "u": 0x02, "g:": 0x04, "g": 0x08, "m:": 0x10, "o:": 0x20}


def acl_bytes(text):
    """"u::rwx,u:1000:r--,g::r--,m::rwx,o::---" as setfacl(1) says it, as the kernel wants it."""
    result = struct.pack("<I", 2)
    for entry in text.split(","):
        kind, who, perm = entry.split(":")
        tag = ACL_TAGS[kind if who else kind + ":"]
        result += struct.pack("<HHI", tag, sum({"r": 4, "w": 2, "x": 1, "-": 0}[c] for c in perm), int(who) if who else 0xFFFFFFFF)
    return result


def op_setacl(p, which, text):
    os.setxattr(path(p), "system.posix_acl_" + which, acl_bytes(text))
    return "ok"


def op_setaclraw(p, which, hexadecimal):
    os.setxattr(path(p), "system.posix_acl_" + which, bytes.fromhex(hexadecimal))
    return "ok"


def op_getacl(p, which):
    value = os.getxattr(path(p), "system.posix_acl_" + which)
    names = {number: name for name, number in ACL_TAGS.items()}
    result = []
    for at in range(4, len(value), 8):
        tag, perm, who = struct.unpack_from("<HHI", value, at)
        rights = "".join(c if perm & bit else "-" for c, bit in (("r", 4), ("w", 2), ("x", 1)))
        result.append("%s%s:%s" % (names[tag] if names[tag].endswith(":") else names[tag] + ":%d" % who, "", rights))
    return ",".join(result)


def op_removeacl(p, which):
    os.removexattr(path(p), "system.posix_acl_" + which)
    return "ok"


def op_flags(p):
    opened = os.open(path(p), os.O_RDONLY | os.O_NONBLOCK)
    try:
        value = array.array("l", [0])
        fcntl.ioctl(opened, 0x80086601, value)
        return "".join(c for c, bit in (("a", 0x20), ("i", 0x10), ("d", 0x40), ("A", 0x80), ("S", 0x08), ("D", 0x10000)) if value[0] & bit) or "-"
    finally:
        os.close(opened)


def op_setflags(p, text):
    value = array.array("l", [sum({"a": 0x20, "i": 0x10, "d": 0x40, "A": 0x80, "S": 0x08}[c] for c in text)])
    opened = os.open(path(p), os.O_RDONLY | os.O_NONBLOCK)
    try:
        fcntl.ioctl(opened, 0x40086602, value)
    finally:
        os.close(opened)
    return "ok"


def op_extents(p):
    """How many ranges of data FIEMAP tells, and how many bytes they are: where the allocator put them, and in how many pieces, is its own."""
    opened = os.open(path(p), os.O_RDONLY)
    try:
        block = bytearray(struct.pack("=QQLLLL", 0, 2**64 - 1, 1, 0, 64, 0) + bytes(64 * 56))
        fcntl.ioctl(opened, 0xC020660B, block)
        count = struct.unpack_from("=L", block, 20)[0]
        ranges, size, end = 0, 0, -1
        for i in range(count):
            at, _, length = struct.unpack_from("=QQQ", block, 32 + 56 * i)
            ranges += at != end
            size += length
            end = at + length
        return "%d: %d" % (ranges, size)
    finally:
        os.close(opened)


def op_handle(p, slot, flags):
    """Opens a file by its handle (name_to_handle_at(2))."""
    handle = bytearray(struct.pack("=Ii", 128, 0) + bytes(128))
    mount_id = ctypes.c_int()
    buffer = (ctypes.c_char * len(handle)).from_buffer(handle)
    check(libc.name_to_handle_at(AT_FDCWD, path(p), buffer, ctypes.byref(mount_id), 0))
    marks[slot] = handle
    return op_byhandle(slot, flags)


def op_byhandle(slot, flags):
    buffer = (ctypes.c_char * len(marks[slot])).from_buffer(marks[slot])
    root = os.open(mount_point, os.O_RDONLY)
    try:
        opened = check(libc.open_by_handle_at(root, buffer, bits(flags)))
    finally:
        os.close(root)
    if slot in slots:
        os.close(slots[slot])
    slots[slot] = opened
    return "ok"


def op_bind(source, target):
    """Mounts a folder or file on another; undone at the end of the case."""
    check(libc.mount(path(source), path(target), None, 4096, None))
    return "ok"


def unbind():
    with open("/proc/self/mountinfo") as f:
        points = [line.split()[4] for line in f]
    for point in reversed(points):
        if point.startswith(sandbox + "/"):
            libc.umount2(point.encode(), 2)


def op_flock(slot, how):
    fcntl.flock(fd(slot), {"sh": fcntl.LOCK_SH, "ex": fcntl.LOCK_EX, "un": fcntl.LOCK_UN}[how] | fcntl.LOCK_NB)
    return "ok"


def op_setlk(slot, how, start=0, length=0, ofd=False):
    kind = {"read": fcntl.F_RDLCK, "write": fcntl.F_WRLCK, "un": fcntl.F_UNLCK}[how]
    fcntl.fcntl(fd(slot), 37 if ofd else fcntl.F_SETLK, struct.pack("hhqqi4x", kind, 0, start, length, 0))
    return "ok"


def op_getlk(slot, how, start=0, length=0):
    """What stands in the way of this lock: "none", or kind, start and length."""
    kind = {"read": fcntl.F_RDLCK, "write": fcntl.F_WRLCK}[how]
    found = struct.unpack("hhqqi4x", fcntl.fcntl(fd(slot), fcntl.F_GETLK, struct.pack("hhqqi4x", kind, 0, start, length, 0)))
    return "none" if found[0] == fcntl.F_UNLCK else "%s %d %d" % ({fcntl.F_RDLCK: "read", fcntl.F_WRLCK: "write"}[found[0]], found[2], found[3])


def op_lease(slot, how):
    fcntl.fcntl(fd(slot), fcntl.F_SETLEASE, {"read": fcntl.F_RDLCK, "write": fcntl.F_WRLCK, "un": fcntl.F_UNLCK}[how])
    return "ok"


def in_child(run):
    """What `run` returns in a process of its own."""
    r, w = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(r)
            os.write(w, json.dumps(answer(run)).encode())
        finally:
            os._exit(0)
    os.close(w)
    text = b""
    while part := os.read(r, 65536):
        text += part
    os.close(r)
    _, status = os.waitpid(child, 0)
    return json.loads(text) if text else "signal %d" % (status & 127)


def op_other(*steps):
    """Another process makes these calls, as the same user; the last one's result."""
    def run():
        result = "ok"
        for name, *args in steps:
            result = answer(lambda: OPS[name](*args))
        return result
    return in_child(run)


def op_limited(limit, *steps):
    """As `other`, with RLIMIT_FSIZE."""
    def run():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        result = "ok"
        for name, *args in steps:
            result = answer(lambda: OPS[name](*args))
        return result
    return in_child(run)


def op_exec(p, *args):
    """Executes a program: an error of execve(2), or its exit status."""
    r, w = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(r)
            for output in 1, 2:
                os.dup2(silent, output)
            os.execv(path(p), ["program", *args])
        except OSError as error:
            os.write(w, errno.errorcode[error.errno].encode())
        finally:
            os._exit(127)
    os.close(w)
    failed = os.read(r, 100).decode()
    os.close(r)
    _, status = os.waitpid(child, 0)
    return failed or "exit %d" % os.waitstatus_to_exitcode(status)


def op_install(program, p, mode):
    """A copy of a program of this machine."""
    with open(program, "rb") as f, open(path(p), "wb") as g:
        g.write(f.read())
    os.chmod(path(p), mode)
    return "ok"


def op_files(prefix, count, start=0):
    for i in range(start, start + count):
        os.close(os.open(path("%s%d" % (prefix, i)), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644))
    return "ok"


def op_unfiles(prefix, count, start=0):
    for i in range(start, start + count):
        os.unlink(path("%s%d" % (prefix, i)))
    return "ok"


def op_fill(p, chunk=4096, limit=1 << 30):
    """Appends until it fails: why. The file keeps what it got."""
    opened = os.open(path(p), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        part, done = b"f" * chunk, 0
        while done < limit:
            done += os.write(opened, part)
        return "limit"
    finally:
        os.close(opened)


def op_fillnames(prefix, kind):
    """Makes names until it fails: why."""
    for i in range(1_000_000):
        name = path("%s%d" % (prefix, i))
        if kind == "dir":
            os.mkdir(name)
        elif kind == "link":
            os.link(path(prefix), name)
        else:
            os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
    return "limit"


def entry(address):
    name = ctypes.string_at(address + 19)
    return name, ctypes.cast(address + 18, ctypes.POINTER(ctypes.c_ubyte))[0], ctypes.cast(address, ctypes.POINTER(ctypes.c_ulong))[0]


def op_opendir(p, name):
    found = libc.opendir(path(p))
    if not found:
        check(-1)
    dirs[name] = found
    return "ok"


def read_some(handle, count):
    names = []
    while count != 0:
        ctypes.set_errno(0)
        found = libc.readdir(handle)
        if not found:
            if ctypes.get_errno() != 0:
                check(-1)
            break
        names.append(entry(found)[0].decode("latin1"))
        count -= 1
    return names


def op_readdir(name, count=-1):
    """Entries from here on, sorted."""
    return ",".join(sorted(read_some(dirs[name], count)))


def op_readdircount(name, count=-1):
    return len(read_some(dirs[name], count))


def op_types(p):
    """d_type and d_ino of each entry against lstat."""
    handle = libc.opendir(path(p))
    if not handle:
        check(-1)
    result = []
    kinds = {1: "fifo", 2: "char", 4: "dir", 6: "block", 8: "file", 10: "link", 12: "socket", 0: "unknown"}
    while found := libc.readdir(handle):
        name, kind, ino = entry(found)
        if name not in (b".", b".."):
            result.append("%s=%s%s" % (name.decode("latin1"), kinds[kind], "" if os.lstat(path(p) + b"/" + name).st_ino == ino else "!"))
    libc.closedir(handle)
    return ",".join(sorted(result))


def op_telldir(name, label):
    marks[label] = libc.telldir(dirs[name])
    return "ok"


def op_seekdir(name, label):
    libc.seekdir(dirs[name], marks[label])
    return "ok"


def op_rewinddir(name):
    libc.rewinddir(dirs[name])
    return "ok"


def op_closedir(name):
    libc.closedir(dirs.pop(name))
    return "ok"


def op_seekeach(p):
    """From every position that telldir gives, the same entries follow."""
    handle = libc.opendir(path(p))
    where, names = [], []
    while True:
        where.append(libc.telldir(handle))
        got = read_some(handle, 1)
        if not got:
            break
        names += got
    good = True
    for i in reversed(range(len(names))):
        libc.seekdir(handle, where[i])
        if i % 7 == 0:
            good = good and read_some(handle, 3) == names[i : i + 3]
        else:
            good = good and read_some(handle, 1) == names[i : i + 1]
    libc.closedir(handle)
    return good


def op_readwhile(p, change, every, prefix):
    """Reads a folder to its end; after each `every` entries a name that was read is removed ("remove"), one that was not read
    is ("remove-ahead"), or a new one is made ("add"). How the names that stayed were seen: "once", or which were not."""
    stays = set(os.listdir(path(p)))
    handle = libc.opendir(path(p))
    seen, gone, serial = [], set(), 0
    while got := read_some(handle, every):
        seen += got
        if change == "add":
            os.close(os.open(path("%s/%s%d" % (p, prefix, serial)), os.O_CREAT | os.O_WRONLY, 0o644))
            serial += 1
            continue
        pool = [n for n in seen if n not in gone and n not in (".", "..")] if change == "remove" else \
            sorted(n.decode("latin1") for n in stays if n.decode("latin1") not in seen and n.decode("latin1") not in gone)
        for name in pool[: max(1, every // 2)]:
            os.unlink(path("%s/%s" % (p, name)))
            gone.add(name)
    libc.closedir(handle)
    ahead = {n.decode("latin1") for n in stays} - gone
    wrong = sorted(n for n in ahead if seen.count(n) != 1) + sorted({n for n in seen if seen.count(n) > 1})
    return "once" if not wrong else "wrong: " + ",".join(wrong[:8])


def op_drain(p):
    """Removes every entry while it reads the folder, as rm -r does; what is left."""
    handle = libc.opendir(path(p))
    while got := read_some(handle, 1):
        if got[0] not in (".", ".."):
            os.unlink(path("%s/%s" % (p, got[0])))
    libc.closedir(handle)
    return ",".join(sorted(n.decode("latin1") for n in os.listdir(path(p)))) or "empty"


def op_chdir(p):
    os.chdir(path(p))
    return "ok"


def op_getcwd():
    cwd = os.getcwd()
    return "@here" + cwd[len(sandbox):] if cwd.startswith(sandbox) else cwd


def op_nonblockfifo(p, value):
    """A fifo between two descriptors."""
    r = os.open(path(p), os.O_RDONLY | os.O_NONBLOCK)
    try:
        w = os.open(path(p), os.O_WRONLY | os.O_NONBLOCK)
        try:
            os.write(w, data(value))
            return text_of(os.read(r, 4096))
        finally:
            os.close(w)
    finally:
        os.close(r)


def op_sleep(ms):
    time.sleep(ms / 1000)
    return "ok"


SYS = {"faccessat": 269, "linkat": 265, "renameat2": 316, "utimensat": 280, "fallocate": 285, "getxattr": 191, "listxattr": 194,
       "fchmodat2": 452, "openat2": 437}
if os.uname().machine == "aarch64":
    SYS = {"faccessat": 48, "linkat": 37, "renameat2": 276, "utimensat": 88, "fallocate": 47, "getxattr": 8, "listxattr": 11,
           "fchmodat2": 452, "openat2": 437}
    # The flags that differ are in Python's os by the platform's values.

OPS = {name[3:]: value for name, value in globals().items() if name.startswith("op_")}
OPS.update({
    "mkdir": simple(lambda p, mode=0o777: os.mkdir(path(p), mode)),
    "mkdirat": simple(lambda slot, p, mode=0o777: os.mkdir(path(p), mode, dir_fd=fd(slot))),
    "rmdir": simple(lambda p: os.rmdir(path(p))),
    "unlink": simple(lambda p: os.unlink(path(p))),
    "unlinkat": simple(lambda slot, p: os.unlink(path(p), dir_fd=fd(slot))),
    "symlink": simple(lambda target, p: os.symlink(path(target), path(p))),
    "chmod": simple(lambda p, mode: os.chmod(path(p), mode)),
    "fchmod": simple(lambda slot, mode: os.fchmod(fd(slot), mode)),
    "lchmod": simple(lambda p, mode: raw(SYS["fchmodat2"], AT_FDCWD, path(p), mode, 0x100)),
    "chown": simple(lambda p, uid, gid: os.chown(path(p), uid, gid)),
    "lchown": simple(lambda p, uid, gid: os.lchown(path(p), uid, gid)),
    "fchown": simple(lambda slot, uid, gid: os.fchown(fd(slot), uid, gid)),
    "fsync": simple(lambda slot: os.fsync(fd(slot))),
    "fdatasync": simple(lambda slot: os.fdatasync(fd(slot))),
    "syncfs": simple(lambda slot: check(libc.syncfs(fd(slot)))),
    "umask": simple(lambda mode: os.umask(mode)),
    "fchdir": simple(lambda slot: os.fchdir(fd(slot))),
})


def answer(run):
    try:
        return run()
    except OSError as error:
        return "EOPNOTSUPP" if error.errno == errno.EOPNOTSUPP else errno.errorcode.get(error.errno, str(error.errno))


def become(user):
    os.setresuid(0, 0, 0)
    uid, rest = user.split(":")
    groups = [int(g) for g in rest.split(",")]
    os.setgroups(groups[1:] if uid != "0" else groups)
    os.setresgid(groups[0], groups[0], groups[0])
    # The saved uid stays root's: the way back. The kernel takes the capabilities of a root that becomes somebody else.
    os.setresuid(int(uid), int(uid), 0)


def run_case(case):
    global sandbox
    sandbox = "%s/%s" % (mount_point, case["id"])
    become("0:0")
    os.umask(0)
    if os.statvfs(mount_point).f_flag & os.ST_RDONLY:
        sandbox = mount_point + "/tree"
    else:
        os.mkdir(sandbox, 0o777)
    os.chdir(sandbox)
    results, current = [], "0:0"
    for user, name, *args in case["steps"]:
        if user != current:
            become(user)
            current = user
        results.append(answer(lambda: OPS[name](*args)))
    become("0:0")
    if any(name == "bind" for _, name, *_ in case["steps"]):
        os.chdir("/")
        unbind()
    for opened in slots.values():
        os.close(opened)
    for handle in dirs.values():
        libc.closedir(handle)
    slots.clear(), dirs.clear(), marks.clear()
    os.umask(0)
    os.chdir("/")
    return {"id": case["id"], "results": results}


def main():
    global other_folder, mount_point, silent
    silent = os.open("/dev/null", os.O_WRONLY)
    mount_point, other_folder = sys.argv[1], sys.argv[2]
    for line in sys.stdin:
        case = json.loads(line)
        try:
            print(json.dumps(run_case(case)), flush=True)
        except Exception as error:  # A mistake of a case or of this program: said, and the next case runs.
            os.setresuid(0, 0, 0)
            print(json.dumps({"id": case["id"], "broken": "%s: %s" % (type(error).__name__, error)}), flush=True)


main()
