import Glibc

/// A large program or library to read symbols of.
struct ELFFile {
    let path: String
    let size: Int

    /// The largest of this machine that has a symbol table, and the Swift
    /// compiler, which is what the figures are stated for, where that is another.
    static func candidates() throws -> [ELFFile] {
        let found = try Run([
            "sh", "-c",
            #"find / -xdev -type f -size +20M -printf '%s %p\n' 2>/dev/null | sort -rn; true"#,
        ])
        let files = found.output.split(separator: "\n").compactMap { line -> ELFFile? in
            let fields = line.split(separator: " ", maxSplits: 1)
            guard fields.count == 2, let size = Int(fields[0]) else { return nil }
            return ELFFile(path: String(fields[1]), size: size)
        }
        let largest = files.first { $0.isProgramOrLibrary && $0.hasSymbols }
        let compiler = files.first { $0.path.hasSuffix("/swift-frontend") && $0.hasSymbols }
        return [largest, compiler].compactMap { $0 }.reduce(into: []) { chosen, file in
            if !chosen.contains(where: { $0.path == file.path }) { chosen.append(file) }
        }
    }

    init(path: String, size: Int) {
        self.path = path
        self.size = size
    }

    init(path: String) throws {
        var information = stat()
        guard unsafe stat(path, &information) == 0 else {
            throw BenchError(errno: errno, "looking at \(path)")
        }
        self.init(path: path, size: Int(information.st_size))
    }

    /// An x86-64 ELF file of type ET_EXEC or ET_DYN.
    private var isProgramOrLibrary: Bool {
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        var header = [UInt8](repeating: 0, count: 20)
        guard unsafe read(descriptor, &header, header.count) == header.count else { return false }
        let isELF64 = header.starts(with: [0x7f, 0x45, 0x4c, 0x46, 2])
        let machine = Int32(header[18]) | Int32(header[19]) << 8
        return isELF64 && (header[16] == 2 || header[16] == 3) && machine == EM_X86_64
    }

    private var hasSymbols: Bool {
        let listed = try? Run(["sh", "-c", #"nm -S "$1" 2>/dev/null | head -n 1"#, "sh", path])
        return listed?.output.isEmpty == false
    }
}
