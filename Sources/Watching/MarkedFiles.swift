import Glibc
import LiveProcess
import PatchFile
import SystemPackage

/// The files of installed bases on this machine, and the marks on them.
///
/// A mark is on the file itself, whatever it is called. An upgrade renames another file
/// over it: so the names are remembered, and looked at again when they change.
struct MarkedFiles {
    /// nil where the kernel does not ask: then files are only found, not marked.
    private let group: PermissionGroup?
    private let identities: FileIdentities
    /// What is marked, by the name under which it was found.
    private var found: [String: (file: FileIdentity, base: Base)] = [:]
    /// The names under which a marked file is or once was.
    private(set) var names: Set<String> = []

    init(group: PermissionGroup?, identities: FileIdentities) {
        self.group = group
        self.identities = identities
    }

    /// As `RUN/watch.json` tells them.
    var marks: [WatchRecord.Mark] {
        found.sorted { $0.key < $1.key }.map {
            WatchRecord.Mark(path: $0.key, buildID: $0.value.base.identity.description)
        }
    }

    /// Marks the file of that name where it is an installed base's, and takes note
    /// that it is none any more otherwise. Returns whether it is marked anew.
    ///
    /// Throws what fanotify_mark(2) answers.
    mutating func look(at path: String, _ bases: InstalledBases) throws(Errno) -> Bool {
        // Not opened where that could wait: a pipe, a device.
        guard let file = try? Descriptor.open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY) else {
            found[path] = nil
            return false
        }
        return try look(at: file.rawValue, called: path, bases)
    }

    /// The same for a file that is open.
    mutating func look(
        at descriptor: Int32, called path: String, _ bases: InstalledBases
    ) throws(Errno) -> Bool {
        guard let identity = identities.identity(of: descriptor), let series = bases[identity],
            let file = Self.file(of: descriptor)
        else {
            found[path] = nil
            return false
        }
        if let known = found[path], known.file == file, known.base.identity == identity {
            return false
        }
        try group?.mark(descriptor, series.base.occasion)
        found[path] = (file, series.base)
        names.insert(path)
        return true
    }

    /// Takes away the marks on files whose base has no patches any more. What cannot
    /// be found again keeps its mark, and who opens it waits for a moment.
    mutating func retire(whatIsNotIn bases: InstalledBases) {
        for (path, entry) in found where bases[entry.base.identity] == nil {
            found[path] = nil
            guard let group, let file = try? Descriptor.open(path, Descriptor.pathOnly),
                Self.file(of: file.rawValue) == entry.file
            else { continue }
            _ = try? group.mark(file.rawValue, entry.base.occasion, add: false)
        }
    }

    private static func file(of descriptor: Int32) -> FileIdentity? {
        var facts = stat()
        guard unsafe fstat(descriptor, &facts) == 0 else { return nil }
        return FileIdentity(facts)
    }
}

extension Base {
    /// Where a file of that name is looked for first (hier(7), and where Debian keeps
    /// libraries): what runs tells the rest.
    public var usualPlaces: [String] {
        let folders =
            occasion == .execution
            ? [
                "/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin",
                "/usr/libexec",
            ]
            : [
                "/usr/local/lib", "/usr/local/lib/x86_64-linux-gnu", "/lib/x86_64-linux-gnu",
                "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64", "/lib", "/usr/lib",
            ]
        return folders.map { "\($0)/\(fileName)" }
    }
}
