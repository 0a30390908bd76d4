import Glibc
import JSONText
import SystemPackage

// What writes to the state directory. A file is there as it was or as it is to be,
// whenever the power fails: it is written aside, synced and renamed, and then the
// directory is synced.

extension PatchStore {
    /// Makes the directories where they are missing. Everybody may read them.
    ///
    /// - Parameter isCertain: whether they have to outlast a loss of power even where
    ///   somebody else made them, who may not have come to syncing that.
    func makeDirectories(isCertain: Bool = false) throws(StoreError) {
        var place = FilePath("/")
        for component in locations.patches.components {
            place.append(component)
            let isNew = unsafe mkdir(place.string, 0o755) == 0
            guard isNew || errno == EEXIST else {
                throw .system(place, action: "make the directory", Errno(rawValue: errno))
            }
            let isOurs = [locations.state, locations.patches].contains(place)
            let parent = place.removingLastComponent()
            // One that may not be read cannot be synced.
            if isNew || isCertain && isOurs, unsafe access(parent.string, R_OK) == 0 {
                try sync(directory: parent)
            }
        }
        // Somebody else may have been faster.
        _ = try trust.check(directory: locations.patches)
    }

    /// Puts `bytes` where `path` is, all of them or none.
    func replace(_ path: FilePath, with bytes: [UInt8]) throws(StoreError) {
        let aside = FilePath(path.string + Self.suffixAside)
        // One that a killed run has left; the lock is ours.
        unsafe unlink(aside.string)
        do throws(Errno) {
            let file = try OpenFile(aside, O_WRONLY | O_CREAT | O_EXCL, permissions: 0o644)
            try file.write(bytes)
            guard fsync(file.rawValue) == 0, unsafe rename(aside.string, path.string) == 0 else {
                throw Errno(rawValue: errno)
            }
        } catch {
            unsafe unlink(aside.string)
            throw .system(path, action: "write", error)
        }
        try sync(directory: path.removingLastComponent())
    }

    /// What a file is called while it is written.
    static let suffixAside = ".part"

    /// Removes what runs that were killed have left: files that were being written, and
    /// patches that the list does not name. Files of other names are somebody's.
    func removeStrays(except entries: [SeriesEntry]) throws(StoreError) {
        unsafe unlink(locations.series.string + Self.suffixAside)
        let kept = Set(entries.map { path(of: $0.id) })
        let strays: [FilePath]
        do throws(Errno) {
            strays = try DirectoryNames.of(locations.patches).filter(Self.isOurs)
                .map { locations.patches.appending($0) }.filter { !kept.contains($0) }
        } catch {
            throw .system(locations.patches, action: "list", error)
        }
        if strays.isEmpty { return }
        // Whoever replaced the list may have been killed before that was synced: should
        // the former one come back, it would name files that are gone.
        try sync(directory: locations.state)
        for path in strays { unsafe unlink(path.string) }
    }

    /// `NAME-DIGEST.hpatch`, also while it is written.
    private static func isOurs(_ name: String) -> Bool {
        var stem = Substring(name)
        if stem.hasSuffix(suffixAside) { stem = stem.dropLast(suffixAside.count) }
        guard stem.hasSuffix(".hpatch") else { return false }
        let parts = stem.dropLast(7).split(separator: "-", omittingEmptySubsequences: false)
        return parts.count > 1 && Hexadecimal.bytes(String(parts[parts.count - 1]))?.count == 32
    }

    func sync(directory path: FilePath) throws(StoreError) {
        do throws(Errno) {
            let directory = try OpenFile(path, O_RDONLY | O_DIRECTORY)
            guard fsync(directory.rawValue) == 0 else { throw Errno(rawValue: errno) }
        } catch {
            throw .system(path, action: "sync", error)
        }
    }
}

enum DirectoryNames {
    /// The names in a directory.
    static func of(_ path: FilePath) throws(Errno) -> [String] {
        guard let directory = unsafe opendir(path.string) else { throw Errno(rawValue: errno) }
        defer { unsafe closedir(directory) }
        var names: [String] = []
        while let entry = unsafe readdir(directory) {
            let name = unsafe withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names
    }
}

extension OpenFile {
    /// Writes all of them.
    package borrowing func write(_ bytes: [UInt8]) throws(Errno) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let written = unsafe rest.withUnsafeBytes { buffer in
                unsafe Glibc.write(rawValue, buffer.baseAddress, buffer.count)
            }
            if written < 0, errno == EINTR { continue }
            guard written > 0 else { throw written < 0 ? Errno(rawValue: errno) : .noSpace }
            rest = rest.dropFirst(written)
        }
    }
}
