import CTorture
import Glibc
import SystemPackage
import TestSupport

/// A terminal that a program under test is started on, and that can be closed.
public final class Terminal {
    private var master: Int32
    /// The path of the end that programs use.
    public let path: FilePath

    public init() throws {
        var name = [CChar](repeating: 0, count: 64)
        master = unsafe ctorture_open_terminal(&name)
        guard master >= 0 else { throw Violation(.other, "no terminal: error \(-master)") }
        path = FilePath(String(decoding: name.prefix { $0 != 0 }.map(UInt8.init), as: UTF8.self))
    }

    deinit { hangUp() }

    /// What a key does.
    public func type(_ character: UInt8) throws {
        var byte = character
        guard unsafe write(master, &byte, 1) == 1 else {
            throw Violation(.other, "cannot type: error \(errno)")
        }
    }

    /// Closes the terminal under whoever uses it.
    public func hangUp() {
        if master >= 0 { close(master) }
        master = -1
    }
}
