import Glibc
import SystemPackage

/// Looks whether nobody but those in `owners` can change a file: as sshd does for
/// its keys (sshd_config(5), StrictModes), from the root directory down, so that
/// nothing can be exchanged behind the check.
struct Trust {
    let owners: Set<UInt32>

    /// Who is named as the one that it should belong to.
    private var advised: UInt32 { owners.contains(geteuid()) ? geteuid() : 0 }

    init(_ locations: Locations) { owners = locations.trustedOwners }

    /// Checks a directory and every one above it.
    ///
    /// Returns whether it is there. Where it is not, those above it that are there
    /// have been checked.
    func check(directory path: FilePath) throws(StoreError) -> Bool {
        var place = FilePath("/")
        guard try check(one: place, isLast: path.components.isEmpty) else { return false }
        for (number, component) in path.components.enumerated() {
            place.append(component)
            let isLast = number == path.components.count - 1
            guard try check(one: place, isLast: isLast) else { return false }
        }
        return true
    }

    /// Whether the directory is there. Above the last, it may be one in which
    /// everybody may make files and nobody may rename those of others (/tmp).
    private func check(one path: FilePath, isLast: Bool) throws(StoreError) -> Bool {
        var facts = stat()
        guard unsafe lstat(path.string, &facts) == 0 else {
            if errno == ENOENT { return false }
            throw .system(path, action: "look at", Errno(rawValue: errno))
        }
        switch facts.st_mode & S_IFMT {
        case S_IFDIR: break
        case S_IFLNK: throw .untrusted(path, .symbolicLink)
        default: throw .untrusted(path, .notADirectory)
        }
        try wrapped(path) { () throws(TrustDefect) in try checkOwner(facts) }
        let isProtected = facts.st_mode & S_ISVTX != 0 && !isLast
        guard facts.st_mode & 0o022 == 0 || isProtected else {
            throw .untrusted(path, .writable(mode: facts.st_mode & 0o7777))
        }
        return true
    }

    /// Checks an open file whose directory has been checked.
    func check(file: Int32) throws(TrustDefect) {
        var facts = stat()
        // A descriptor that is open always has facts.
        guard unsafe fstat(file, &facts) == 0, facts.st_mode & S_IFMT == S_IFREG else {
            throw .notARegularFile
        }
        try checkOwner(facts)
        guard facts.st_mode & 0o022 == 0 else {
            throw .writable(mode: facts.st_mode & 0o7777)
        }
    }

    private func checkOwner(_ facts: stat) throws(TrustDefect) {
        guard owners.contains(facts.st_uid) else {
            throw .owner(facts.st_uid, trusted: advised)
        }
    }

    private func wrapped(
        _ path: FilePath, _ body: () throws(TrustDefect) -> Void
    ) throws(StoreError) {
        do throws(TrustDefect) { try body() } catch { throw .untrusted(path, error) }
    }
}
