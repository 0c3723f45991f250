import Glibc
import Platform
import SharedMemory
import SharedState
import Testing

@testable import Master

/// The key must be the same after a restart, and nobody else's to read.
@Suite struct RouteKeyTests {
    private final class Directory {
        let path: String
        init() {
            var template = Array("/tmp/sipfork-routekey-XXXXXX".utf8CString)
            path = unsafe String(cString: mkdtemp(&template)!)
        }
        deinit {
            for name in ["route.key", "route.key.new"] { unsafe unlink(path + "/" + name) }
            unsafe rmdir(path)
        }
    }

    private func keys() throws -> Arena {
        let arena = try Arena(name: "keys", size: Keys.bytes)
        try Keys.generate(in: arena.memory)
        return arena
    }

    private func key(_ arena: borrowing Arena) -> [UInt64] {
        let key = Keys.routeKey(in: arena.memory)
        return [key[0], key[1]]
    }

    @Test func staysTheSame() throws {
        let directory = Directory()
        let first = try keys()
        #expect(RouteKey.install(in: first.memory, directory: directory.path) == nil)
        let second = try keys()
        #expect(key(second) != key(first))
        #expect(RouteKey.install(in: second.memory, directory: directory.path) == nil)
        #expect(key(second) == key(first))
        var status = stat()
        #expect(unsafe stat(directory.path + "/route.key", &status) == 0)
        #expect(status.st_mode & 0o777 == 0o600 && status.st_size == 16)
    }

    /// A file cut short is made anew; a directory that is none leaves a fresh key, and the reason.
    @Test func damageIsNoObstacle() throws {
        let directory = Directory()
        let arena = try keys()
        let before = key(arena)
        close(unsafe open(directory.path + "/route.key", O_CREAT | O_WRONLY, 0o600))
        #expect(RouteKey.install(in: arena.memory, directory: directory.path) == nil)
        #expect(key(arena) == before)
        let again = try keys()
        #expect(RouteKey.install(in: again.memory, directory: directory.path) == nil)
        #expect(key(again) == before)
        let nowhere = RouteKey.install(in: again.memory, directory: directory.path + "/none")
        #expect(nowhere?.code == ENOENT)
    }
}
