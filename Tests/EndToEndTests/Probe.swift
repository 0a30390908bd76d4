import Addresses
import ELFImage
import SystemPackage
import TestSupport

/// A probe of the kernel's (uprobe), gone with this value.
final class Probe {
    enum Kind {
        case atEntry
        /// A uretprobe: on the stack, it takes the place of the return address.
        case atReturn
    }

    /// Kernels may lack them, and containers may forbid them.
    static let areAvailable: Bool = {
        do {
            let program = try Program.compile("prober")
            _ = try Probe(.atEntry, of: "main", in: program)
            return true
        } catch {
            print("no uprobes here: \(error)")
            return false
        }
    }()

    private let prober: Victim

    /// - Parameter program: must be nobody else's, since all that run it have the probe.
    init(_ kind: Kind, of symbol: String, in program: FilePath) throws {
        let offset = String(try Self.offset(of: symbol, in: program), radix: 16)
        prober = try Victim(
            Program.compile("prober"),
            [program.string, offset] + (kind == .atReturn ? ["return"] : []))
        let answer = try prober.readLine()
        guard answer == "set" else { throw TestSupportError("uprobe of '\(symbol)': \(answer)") }
    }

    /// Takes it out, and waits until it is.
    func remove() throws {
        prober.closeInput()
        _ = try prober.waitForExit()
    }

    /// Where a function's code is in the file.
    private static func offset(of symbol: String, in program: FilePath) throws -> UInt64 {
        let image = try ELFImage.open(path: program)
        guard let table = try image.symbolTable(.full),
            let index = table.indexes(named: symbol).first,
            case let address = try table.symbol(index).value,
            let section = image.section(at: address)
        else { throw TestSupportError("'\(program)' has no '\(symbol)'") }
        return section.offset.rawValue + (address.rawValue - section.address.rawValue)
    }
}
