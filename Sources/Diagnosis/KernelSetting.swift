import Glibc
import SystemPackage

/// What a file of the kernel's says, or that it has none to say it.
enum KernelSetting: Equatable, Sendable {
    /// The text without white space at its ends.
    case text(String)
    /// This kernel has no such file, or the file system with it is not mounted.
    case absent
    case unreadable(Errno)

    /// Its number, where it is one.
    var number: Int? { text.flatMap { Int($0) } }

    var text: String? { if case .text(let text) = self { text } else { nil } }

    init(reading path: FilePath) {
        do {
            let file = try FileDescriptor.open(path, .readOnly, options: .closeOnExec)
            self = try file.closeAfter { .text(Self.trimmed(try file.wholeText())) }
        } catch let error as Errno where error == .noSuchFileOrDirectory {
            self = .absent
        } catch {
            self = .unreadable((error as? Errno) ?? .ioError)
        }
    }

    private static func trimmed(_ text: String) -> String {
        let isSpace: (Character) -> Bool = { $0.isWhitespace || $0 == "\0" }
        return String(
            text.drop(while: isSpace).reversed().drop(while: isSpace).reversed())
    }
}

extension FileDescriptor {
    /// All of a file up to 1 MiB, which no file that is read here comes near.
    func wholeText() throws -> String {
        var bytes: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 4096)
        while bytes.count < 1 << 20 {
            let count = try unsafe piece.withUnsafeMutableBytes { try unsafe read(into: $0) }
            if count == 0 { break }
            bytes += piece.prefix(count)
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}

/// A kernel's version, as uname(2) gives it.
struct KernelVersion: Equatable, Sendable {
    /// `6.1.0-18-amd64`.
    let release: String
    /// 0 where the release does not begin with two numbers.
    let major: Int
    let minor: Int

    init(release: String) {
        self.release = release
        let numbers = release.split(separator: ".", maxSplits: 2).prefix(2)
            .map { Int($0.prefix { $0.isASCII && $0.isNumber }) ?? 0 }
        major = numbers.first ?? 0
        minor = numbers.dropFirst().first ?? 0
    }

    static func running() -> KernelVersion {
        var names = utsname()
        unsafe uname(&names)
        let release = unsafe withUnsafeBytes(of: names.release) { bytes in
            unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
        }
        return KernelVersion(release: release)
    }

    func isOlder(than major: Int, _ minor: Int) -> Bool {
        (self.major, self.minor) < (major, minor)
    }
}
