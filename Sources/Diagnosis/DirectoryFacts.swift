import Glibc
import PatchStore
import SystemPackage

extension Locations {
    /// What the service says of itself.
    var serviceFile: FilePath { run.appending("watch.json") }
}

/// One of the places, as it is.
struct DirectoryFacts: Equatable, Sendable {
    enum Kind: String, Sendable { case state, config, run }
    enum Condition: Equatable, Sendable {
        /// It is made when it is needed first.
        case absent
        case present(owner: UInt32, mode: UInt32)
        /// Not a directory, or not to be looked at.
        case unusable(String)
    }

    let kind: Kind
    let path: FilePath
    let condition: Condition

    static func all(_ places: Locations) -> [DirectoryFacts] {
        [
            DirectoryFacts(.state, places.state), DirectoryFacts(.config, places.config),
            DirectoryFacts(.run, places.run),
        ]
    }

    init(kind: Kind, path: FilePath, condition: Condition) {
        self.kind = kind
        self.path = path
        self.condition = condition
    }

    private init(_ kind: Kind, _ path: FilePath) {
        var facts = stat()
        let condition: Condition
        if unsafe stat(path.string, &facts) != 0 {
            let error = Errno(rawValue: errno)
            condition = error == .noSuchFileOrDirectory ? .absent : .unusable("\(error)")
        } else if facts.st_mode & S_IFMT != S_IFDIR {
            condition = .unusable("not a directory")
        } else {
            condition = .present(owner: facts.st_uid, mode: facts.st_mode & 0o7777)
        }
        self.init(kind: kind, path: path, condition: condition)
    }
}
