import Glibc
import Platform
import SharedMemory
import SharedState

/// The key of the mark in our Record-Route (`RouteMark`), kept in the state directory: dialogs outlive the
/// service, and their requests must be known again by the next one.
enum RouteKey {
    private static let name = "route.key"

    /// Puts the key on disk into the key memory, made first where there is none. What went wrong, if
    /// anything: then a fresh key serves until the next start.
    static func install(in memory: Memory, directory: String) -> SystemError? {
        let path = "\(directory)/\(name)"
        do throws(SystemError) {
            if let key = try read(path) {
                Keys.storeRouteKey(key, in: memory)
            } else {
                try write(Keys.routeKey(in: memory), path)
            }
            return nil
        } catch {
            return error
        }
    }

    /// Nil where there is no file, or a shorter one: then nobody has a mark by it.
    private static func read(_ path: String) throws(SystemError) -> InlineArray<2, UInt64>? {
        let number = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
        if number < 0 {
            if SystemError.lastCode == ENOENT { return nil }
            throw .last("open \(path)")
        }
        let file = Descriptor(owning: number)
        var key: InlineArray<2, UInt64> = [0, 0]
        let count = unsafe withUnsafeMutableBytes(of: &key) {
            unsafe Glibc.read(file.number, $0.baseAddress!, 16)
        }
        if count < 0 { throw .last("read \(path)") }
        return count == 16 ? key : nil
    }

    /// Whole or not at all: a service that is killed meanwhile leaves no half a key.
    private static func write(_ key: InlineArray<2, UInt64>, _ path: String) throws(SystemError) {
        let draft = path + ".new"
        let number = unsafe open(draft, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0o600)
        if number < 0 { throw .last("open \(draft)") }
        let file = Descriptor(owning: number)
        var bytes = key
        let count = unsafe withUnsafeMutableBytes(of: &bytes) {
            unsafe Glibc.write(file.number, $0.baseAddress!, 16)
        }
        if count != 16 || fsync(file.number) < 0 { throw .last("write \(draft)") }
        if unsafe rename(draft, path) < 0 { throw .last("rename \(path)") }
    }
}
