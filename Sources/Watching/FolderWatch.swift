import Glibc
import LiveProcess
import SystemPackage

/// Tells which names change in some folders (inotify(7)): files that are made, moved
/// there, written or removed.
struct FolderWatch {
    private let file: Descriptor
    private var folders: [Int32: String] = [:]

    /// Throws what inotify_init1(2) answers.
    init() throws(Errno) {
        let descriptor = inotify_init1(Int32(IN_CLOEXEC | IN_NONBLOCK))
        guard descriptor >= 0 else { throw Errno(rawValue: errno) }
        file = Descriptor(rawValue: descriptor)
    }

    /// Readable when something has changed, for poll(2).
    var descriptor: Int32 { file.rawValue }

    /// Watches exactly these folders from now on. One that is not there is left out.
    /// Returns those that were not watched before.
    @discardableResult
    mutating func watch(_ wanted: Set<String>) -> Set<String> {
        let watched = Set(folders.values)
        for (number, folder) in folders where !wanted.contains(folder) {
            _ = inotify_rm_watch(file.rawValue, number)
            folders[number] = nil
        }
        let changes =
            IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_CLOSE_WRITE | IN_DELETE | IN_ATTRIB
            | IN_ONLYDIR
        var added: Set<String> = []
        for folder in wanted.subtracting(watched) {
            let number = unsafe inotify_add_watch(file.rawValue, folder, UInt32(changes))
            guard number >= 0 else { continue }
            folders[number] = folder
            added.insert(folder)
        }
        return added
    }

    /// The paths that have changed. Where the kernel lost some, `isComplete` is false.
    mutating func changes() -> (paths: Set<String>, isComplete: Bool) {
        var paths: Set<String> = []
        var isComplete = true
        var buffer = [UInt8](repeating: 0, count: 16384)
        while true {
            let size = unsafe read(file.rawValue, &buffer, buffer.count)
            guard size > 0 else { return (paths, isComplete) }
            for event in InotifyEvents(buffer[..<size]) {
                if event.mask & UInt32(IN_Q_OVERFLOW) != 0 { isComplete = false }
                // The folder itself is gone, and with it the watch.
                if event.mask & UInt32(IN_IGNORED) != 0 { folders[event.folder] = nil }
                guard let folder = folders[event.folder], !event.name.isEmpty else { continue }
                paths.insert(FilePath(folder).appending(event.name).string)
            }
        }
    }
}

/// struct inotify_event, one behind the other: the folder's number, what happened, a
/// cookie, the room for the name, the name with zeros behind it.
private struct InotifyEvents: Sequence, IteratorProtocol {
    struct Event {
        let folder: Int32
        let mask: UInt32
        let name: String
    }

    private var rest: ArraySlice<UInt8>

    init(_ bytes: ArraySlice<UInt8>) { rest = bytes }

    mutating func next() -> Event? {
        guard rest.count >= 16 else { return nil }
        func word(_ index: Int) -> UInt32 {
            (0..<4).reduce(0) { value, byte in
                value | UInt32(rest[rest.startIndex + 4 * index + byte]) << UInt32(8 * byte)
            }
        }
        let room = Int(word(3))
        guard rest.count - 16 >= room else { return nil }
        let name = rest.dropFirst(16).prefix(room).prefix { $0 != 0 }
        let event = Event(
            folder: Int32(bitPattern: word(0)), mask: word(1),
            name: String(decoding: name, as: UTF8.self))
        rest = rest.dropFirst(16 + room)
        return event
    }
}
