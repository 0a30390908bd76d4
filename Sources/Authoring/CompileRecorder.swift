import Glibc
import SystemPackage

/// Compilers that note what they compile, put before the true ones in PATH: whatever
/// build system calls them, a build leaves a copy of each object, with the command that
/// made it and the files that were read for it.
struct CompileRecorder {
    /// The folder that is to be the first of PATH.
    let folder: FilePath
    /// The compilers behind it, with what tells one version of them from another.
    private(set) var identities: [String] = []
    /// What is compiled in it is called by this one.
    private let tree: FilePath
    private let original: FilePath

    /// The names under which build systems look for compilers in PATH.
    private static let names = [
        "cc", "gcc", "c99", "c89", "g++", "c++", "clang", "clang++", "x86_64-linux-gnu-gcc",
        "x86_64-linux-gnu-g++",
    ]

    /// Where compilers are looked for.
    static var searchPath: String {
        unsafe getenv("PATH").map { unsafe String(cString: $0) } ?? "/usr/bin:/bin"
    }

    /// - Parameters:
    ///   - tree: where it is built.
    ///   - original: the name that the tree has for who reads `__FILE__`.
    init(
        in place: borrowing TemporaryFolder, tree: FilePath, original: FilePath
    ) throws(AuthoringError) {
        folder = try place.makeFolder("commands")
        self.tree = tree
        self.original = original
        try Compiler.writeHeader(to: folder)
        // With its version, as distributions name them: gcc-12.
        let versioned = (9...20).flatMap { ["gcc-\($0)", "g++-\($0)", "clang-\($0)"] }
        for name in Self.names + versioned {
            let places = Self.searchPath.split(separator: ":").map {
                FilePath(String($0)).appending(name)
            }
            let found = places.first { unsafe access($0.string, X_OK) == 0 && !Self.isCache($0) }
            guard let found else { continue }
            var status = stat()
            if unsafe stat(found.string, &status) == 0 {
                identities.append("\(found) \(status.st_size) \(status.st_mtim.tv_sec)")
            }
            try write(folder.appending(name), for: found)
        }
    }

    private func write(_ script: FilePath, for compiler: FilePath) throws(AuthoringError) {
        try writeFile(text(for: compiler), to: script)
        guard unsafe chmod(script.string, 0o700) == 0 else {
            throw AuthoringError.system(
                name: script.string, action: "make executable", errno: Errno(rawValue: errno))
        }
    }

    /// What notes the work of a compiler that is called by its path.
    func wrapper(for compiler: FilePath) throws(AuthoringError) -> FilePath {
        let script = folder.appending(compiler.string.replacing("/", with: "%"))
        if unsafe access(script.string, X_OK) != 0 { try write(script, for: compiler) }
        return script
    }

    /// The same where the path is that of a compiler, by its name; nil for other programs
    /// and our own, and where the script cannot be written.
    func substitute(for program: FilePath) -> FilePath? {
        guard let name = program.lastComponent?.string, program.removingLastComponent() != folder,
            Self.isCompiler(name), !Self.isCache(program)
        else { return nil }
        do throws(AuthoringError) { return try wrapper(for: program) } catch { return nil }
    }

    /// Whether a file is called as compilers are: gcc, or with a target before it or a
    /// version behind.
    static func isCompiler(_ name: String) -> Bool {
        var parts = name.split(separator: "-", omittingEmptySubsequences: false)[...]
        if parts.count > 1, let last = parts.last, last.allSatisfy({ $0.isNumber || $0 == "." }) {
            parts.removeLast()
        }
        guard let last = parts.last else { return false }
        return ["cc", "gcc", "c99", "c89", "g++", "c++", "clang", "clang++"].contains(last)
    }

    /// Whether a name is one by which a cache of objects stands before the compiler.
    /// Such a cache looks for the compiler in PATH, and would find us.
    private static func isCache(_ path: FilePath) -> Bool {
        guard let target = unsafe realpath(path.string, nil) else { return false }
        defer { unsafe free(target) }
        let name = unsafe FilePath(String(cString: target)).lastComponent?.string ?? ""
        return ["ccache", "sccache", "distcc", "icecc"].contains(name)
    }

    /// What every object is compiled with besides. None of it changes a function's code;
    /// the debug information tells of types and lines.
    private var flags: String {
        "-g -ffunction-sections -fdata-sections "
            + Self.quoted("-ffile-prefix-map=\(tree)=\(original)") + " -idirafter "
            + Self.quoted(folder.string)
    }

    static func quoted(_ text: String) -> String {
        "'" + text.replacing("'", with: "'\\''") + "'"
    }

    /// Compiles as asked for; where that makes one object, puts a copy of it beside the
    /// command in the folder of HOTPATCH_RECORD. The dependencies are those that the
    /// build asks for itself, or else DEPENDENCIES_OUTPUT (GCC manual, "Environment
    /// Variables").
    private func text(for compiler: FilePath) -> String {
        """
        #!/bin/sh
        export \(BuildTracer.mark)
        compiler=\(Self.quoted(compiler.string))
        compiles= other= output= listed= previous= source= sources=0
        for argument in "$@"; do
            case "$previous" in
            -o) output=$argument ;;
            -MF) listed=$argument ;;
            esac
            case "$argument" in
            -c) compiles=yes ;;
            -E | -S | -M | -MM | -fsyntax-only) other=yes ;;
            -o?*) output=${argument#-o} ;;
            -MF?*) listed=${argument#-MF} ;;
            -*) ;;
            *.c | *.cc | *.cpp | *.cxx | *.C | *.c++ | *.i | *.ii)
                source=$argument
                sources=$((sources + 1)) ;;
            esac
            previous=$argument
        done
        if [ -z "$compiles" ] || [ -n "$other" ]; then exec "$compiler" "$@"; fi
        if [ -z "$HOTPATCH_RECORD" ] || [ "$sources" != 1 ]; then
            exec "$compiler" "$@" \(flags)
        fi
        if [ -z "$output" ]; then
            output=${source##*/}
            output=${output%.*}.o
        fi
        record=$(mktemp "$HOTPATCH_RECORD/XXXXXXXX") || exit 1
        DEPENDENCIES_OUTPUT=$record.d "$compiler" "$@" \(flags) || exit $?
        if [ ! -e "$record.d" ]; then
            for file in "$listed" "${output%.*}.d"; do
                if [ -n "$file" ] && [ -f "$file" ]; then cp "$file" "$record.d"; break; fi
            done
        fi
        cp "$output" "$record.o" || exit 1
        pwd > "$record.cwd"
        printf '%s\\0' "$compiler" "$@" > "$record.part"
        mv "$record.part" "$record.command"

        """
    }
}

/// One object that a build has compiled.
struct CompileRecord {
    /// A copy of the object.
    let object: FilePath
    let folder: FilePath
    /// The compiler and its arguments.
    let command: [String]
    /// Files that were read, from the root; nil where they are not known.
    let dependencies: Set<FilePath>?

    /// The same for two builds of one source: the command without the names of what it
    /// writes.
    struct Key: Hashable {
        let folder: FilePath
        let arguments: [String]
    }

    var key: Key { Key(folder: folder, arguments: CompileCommand.inputs(of: command)) }

    /// How many a build has left in `folder` so far; 0 where that cannot be read.
    static func count(in folder: FilePath) -> Int {
        do throws(AuthoringError) {
            return try fileNames(in: folder).count { $0.hasSuffix(".command") }
        } catch {
            // It is only for those who watch.
            return 0
        }
    }

    /// Those that a build has left in `folder`.
    static func all(in folder: FilePath) throws(AuthoringError) -> [CompileRecord] {
        var records: [CompileRecord] = []
        for name in try fileNames(in: folder).sorted() where name.hasSuffix(".command") {
            let stem = String(name.dropLast(".command".count))
            let words = try readFile(folder.appending(name)).split(separator: 0)
                .map { String(decoding: $0, as: UTF8.self) }
            let place = try readFile(folder.appending(stem + ".cwd"))
            let home = FilePath(
                String(decoding: place.prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self))
            let list = folder.appending(stem + ".d")
            let dependencies: Set<FilePath>? =
                unsafe access(list.string, R_OK) == 0
                ? Set(DependencyList.files(in: try readFile(list), from: home)) : nil
            records.append(
                CompileRecord(
                    object: folder.appending(stem + ".o"), folder: home, command: words,
                    dependencies: dependencies))
        }
        return records
    }
}

/// The arguments of compilers.
enum CompileCommand {
    /// What decides the object: without -o, and without the dependencies that it lists.
    static func inputs(of command: [String]) -> [String] {
        var kept: [String] = []
        var isValue = false
        for argument in command {
            if isValue {
                isValue = false
            } else if ["-o", "-MF", "-MT", "-MQ"].contains(argument) {
                isValue = true
            } else if !argument.hasPrefix("-o"), !isDependencyFlag(argument) {
                kept.append(argument)
            }
        }
        return kept
    }

    private static func isDependencyFlag(_ argument: String) -> Bool {
        ["-MF", "-MT", "-MQ"].contains { argument.hasPrefix($0) }
            || ["-MD", "-MMD", "-MP", "-MG"].contains(argument)
    }
}

/// The files that a rule for make names as needed (GCC manual, "-M").
enum DependencyList {
    /// Names are taken from `folder`, where they do not start at the root.
    static func files(in text: [UInt8], from folder: FilePath) -> [FilePath] {
        guard let colon = endOfTarget(in: text) else { return [] }
        var files: [FilePath] = []
        var word: [UInt8] = []
        func finish() {
            guard !word.isEmpty else { return }
            let path = FilePath(String(decoding: word, as: UTF8.self))
            files.append((path.isAbsolute ? path : folder.pushing(path)).lexicallyNormalized())
            word = []
        }
        var position = colon + 1
        while position < text.count {
            let byte = text[position]
            let next = position + 1 < text.count ? text[position + 1] : 0
            switch (byte, next) {
            case (UInt8(ascii: "\\"), UInt8(ascii: "\n")):
                finish()
                position += 1
            case (UInt8(ascii: "\\"), UInt8(ascii: " ")), (UInt8(ascii: "\\"), UInt8(ascii: "#")),
                (UInt8(ascii: "$"), UInt8(ascii: "$")):
                word.append(next)
                position += 1
            case (UInt8(ascii: " "), _), (UInt8(ascii: "\t"), _):
                finish()
            case (UInt8(ascii: "\n"), _):
                finish()
                // Rules without commands follow, one for each header (-MP).
                return files
            default:
                word.append(byte)
            }
            position += 1
        }
        finish()
        return files
    }

    /// The colon behind the target, which a space or the line's end follows.
    private static func endOfTarget(in text: [UInt8]) -> Int? {
        text.indices.first { index in
            text[index] == UInt8(ascii: ":")
                && [UInt8(ascii: " "), UInt8(ascii: "\\"), UInt8(ascii: "\n")].contains(
                    index + 1 < text.count ? text[index + 1] : UInt8(ascii: "\n"))
        }
    }
}

/// The names of what is in a folder.
func fileNames(in folder: FilePath) throws(AuthoringError) -> [String] {
    guard let list = unsafe opendir(folder.string) else {
        throw AuthoringError.system(
            name: folder.string, action: "read", errno: Errno(rawValue: errno))
    }
    defer { unsafe closedir(list) }
    var names: [String] = []
    while let entry = unsafe readdir(list) {
        names.append(
            unsafe withUnsafeBytes(of: entry.pointee.d_name) { bytes in
                unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            })
    }
    return names
}
