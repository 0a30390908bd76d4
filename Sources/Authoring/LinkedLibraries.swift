import Addresses
import ELFImage
import Glibc
import SystemPackage

/// The libraries that an object is linked with, found as ld.so finds them (ld.so(8)).
struct LinkedLibraries {
    /// A symbol that a library exports.
    struct Export {
        let type: SymbolType
        let version: String?
        /// The name under which the library is needed.
        let library: String
    }

    private struct Library {
        let name: String
        let image: ELFImage
        let symbols: SymbolTable
    }

    /// In the order in which ld.so looks symbols up: breadth first.
    private let libraries: [Library]
    /// Needed, and not found.
    let missing: [String]

    init(of base: ELFImage, path: FilePath, searchFirst: [FilePath]) throws(AuthoringError) {
        var libraries: [Library] = []
        var missing: [String] = []
        var seen: Set<String> = []
        var queue = [Needer(image: base, path: path, inheritedPaths: [])]
        let system = systemFolders()
        var next = 0
        while next < queue.count {
            let needer = queue[next]
            next += 1
            for name in needer.image.needed where seen.insert(name).inserted {
                let folders = needer.folders(first: searchFirst, system: system)
                guard let (image, path) = Self.open(name, in: folders) else {
                    missing.append(name)
                    continue
                }
                do throws(ELFError) {
                    if let symbols = try image.symbolTable(.dynamic) {
                        libraries.append(Library(name: name, image: image, symbols: symbols))
                    }
                } catch {
                    throw AuthoringError.base(error)
                }
                queue.append(
                    Needer(
                        image: image, path: path,
                        inheritedPaths: needer.paths(DT_RPATH) + needer.inheritedPaths))
            }
        }
        self.libraries = libraries
        self.missing = missing
    }

    /// The first definition of `name`: of that version, or where nil of the
    /// default one.
    func export(_ name: String, version: String? = nil) -> Export? {
        for library in libraries {
            for index in library.symbols.indexes(named: name) {
                guard let entry = library.symbols[index], !entry.isUndefined,
                    entry.binding != .local,
                    [.normal, .protected].contains(entry.visibility)
                else { continue }
                let found = library.symbols.version(index)
                let fits =
                    version.map { $0 == found?.name || found == nil } ?? (found?.isDefault ?? true)
                if fits {
                    return Export(type: entry.type, version: found?.name, library: library.name)
                }
            }
        }
        return nil
    }

    /// The names of all exports, for suggestions.
    var names: [String] {
        libraries.flatMap { library in
            (1..<max(1, library.symbols.count)).compactMap {
                library.symbols[$0]?.isUndefined == false ? library.symbols.name($0) : nil
            }
        }
    }

    /// Like ld.so, passes over files that are not for this machine.
    private static func open(_ name: String, in folders: [FilePath]) -> (ELFImage, FilePath)? {
        let places =
            name.contains("/") ? [FilePath(name)] : folders.map { $0.appending(name) }
        for place in places {
            do throws(ELFError) {
                return (try ELFImage.open(path: place), place)
            } catch {
                continue
            }
        }
        return nil
    }
}

/// An object that needs libraries, and where it says to look for them.
private struct Needer {
    let image: ELFImage
    let path: FilePath
    /// DT_RPATH of the objects by which this one was needed.
    let inheritedPaths: [FilePath]

    func folders(first: [FilePath], system: [FilePath]) -> [FilePath] {
        let environment = unsafe getenv("LD_LIBRARY_PATH").map { unsafe String(cString: $0) } ?? ""
        let byEnvironment = environment.split(separator: ":").map { FilePath(String($0)) }
        let runPaths = paths(DT_RUNPATH)
        // DT_RUNPATH takes DT_RPATH's place, those of other objects included.
        let rPaths = runPaths.isEmpty ? paths(DT_RPATH) + inheritedPaths : []
        return first + rPaths + byEnvironment + runPaths + system
    }

    /// The folders of DT_RPATH or DT_RUNPATH, `$ORIGIN` put in. A list that
    /// cannot be read is no list.
    func paths(_ tag: Int32) -> [FilePath] {
        guard let offset = image.dynamicSection.value(tag).flatMap({ Int(exactly: $0) }),
            let table = image.dynamicSection.value(DT_STRTAB),
            let size = image.dynamicSection.value(DT_STRSZ),
            let range = AddressRange(start: LinkAddress(rawValue: table), count: size),
            let strings = try? image.bytes(at: range),
            let text = strings.cString(at: offset)
        else { return [] }
        let origin = Self.folder(of: path).string
        return text.split(separator: ":").map { part in
            FilePath(
                String(part)
                    .replacing("$ORIGIN", with: origin).replacing("${ORIGIN}", with: origin)
                    .replacing("$LIB", with: "lib/x86_64-linux-gnu")
                    .replacing("${LIB}", with: "lib/x86_64-linux-gnu"))
        }
    }

    private static func folder(of path: FilePath) -> FilePath {
        let resolved: FilePath? = unsafe path.withPlatformString { platform in
            guard let text = unsafe realpath(platform, nil) else { return nil }
            defer { unsafe free(text) }
            return unsafe FilePath(platformString: text)
        }
        return (resolved ?? path).removingLastComponent()
    }
}

/// The folders of /etc/ld.so.conf (of which ldconfig makes ld.so.cache), then
/// the default ones.
private func systemFolders() -> [FilePath] {
    var folders: [FilePath] = []
    var files: Set<String> = []
    readLoaderConfiguration("/etc/ld.so.conf", into: &folders, files: &files)
    return folders + [
        "/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64", "/lib",
        "/usr/lib",
    ]
}

/// One folder a line; `include PATTERN` reads further files (ldconfig(8)). A file
/// that cannot be read is passed over, as ldconfig does.
private func readLoaderConfiguration(
    _ path: String, into folders: inout [FilePath], files: inout Set<String>
) {
    guard files.insert(path).inserted, files.count < 1_000,
        let bytes = try? readFile(FilePath(path))
    else { return }
    for line in String(decoding: bytes, as: UTF8.self).split(separator: "\n") {
        let text = line.prefix { $0 != "#" }
        let words = text.split { $0 == " " || $0 == "\t" }.map(String.init)
        if words.first == "include" {
            for pattern in words.dropFirst() {
                for file in expand(pattern, besides: path) {
                    readLoaderConfiguration(file, into: &folders, files: &files)
                }
            }
        } else {
            folders += words.filter { $0.hasPrefix("/") }.map { FilePath($0) }
        }
    }
}

/// The files that a pattern names; a relative one stands beside `file`.
private func expand(_ pattern: String, besides file: String) -> [String] {
    let whole =
        pattern.hasPrefix("/")
        ? pattern : FilePath(file).removingLastComponent().appending(pattern).string
    var found = unsafe glob_t()
    defer { unsafe globfree(&found) }
    guard unsafe glob(whole, 0, nil, &found) == 0 else { return [] }
    return unsafe (0..<Int(found.gl_pathc)).compactMap { index in
        unsafe found.gl_pathv[index].map { unsafe String(cString: $0) }
    }
}
