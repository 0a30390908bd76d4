import Addresses
import ELFImage

/// Something that gives an address a meaning: a symbol, an entry of the unwind
/// table, a PLT stub. Small, since large objects have a million.
struct Label {
    enum Kind: UInt8 {
        case function
        case indirectFunction
        /// A symbol without a type that other objects may refer to: a function of
        /// an assembler file, as a rule.
        case globalLabel
        /// A place in the code.
        case localLabel
        case unwind
        /// A part of a function, says the unwind table.
        case unwindInsideFrame
        case pltStub
    }

    /// Where its name is.
    enum Origin: UInt8 {
        case full
        case dynamic
        case debugFile
        /// `symbol` is the dynamic symbol that a stub jumps to.
        case pltSymbol
        /// `symbol` is the index in the list of resolvers.
        case pltResolver
        case none
    }

    var address: UInt64
    var size: UInt64
    var symbol: UInt32
    var kind: Kind
    var origin: Origin
}

/// Sorts by address, stably: a radix sort over the bytes in which addresses
/// differ, some ten times as fast as comparing.
func sortByAddress(_ labels: inout [Label]) {
    guard let first = labels.first else { return }
    let varying = labels.reduce(0 as UInt64) { $0 | ($1.address ^ first.address) }
    var spare = labels
    for shift in stride(from: UInt64(0), to: 64, by: 11) where varying >> shift & 0x7ff != 0 {
        var starts = [Int](repeating: 0, count: 2049)
        for label in labels { starts[Int(label.address >> shift & 0x7ff) + 1] += 1 }
        for digit in 1..<2049 { starts[digit] += starts[digit - 1] }
        for label in labels {
            let digit = Int(label.address >> shift & 0x7ff)
            spare[starts[digit]] = label
            starts[digit] += 1
        }
        swap(&labels, &spare)
    }
}

/// The symbol tables of an object and its debug file, by a label's origin.
struct NameTables: Sendable {
    let full: SymbolTable?
    let dynamic: SymbolTable?
    let debugFile: SymbolTable?

    init(_ image: ELFImage, _ debugImage: ELFImage?) throws(ELFError) {
        full = try image.symbolTable(.full)
        dynamic = try image.symbolTable(.dynamic)
        debugFile = try debugImage?.symbolTable(.full)
    }

    /// The tables that symbols are taken from.
    var all: [(Label.Origin, SymbolTable)] {
        let list: [(Label.Origin, SymbolTable?)] = [
            (.full, full), (.debugFile, debugFile), (.dynamic, dynamic),
        ]
        return list.compactMap { origin, table in table.map { (origin, $0) } }
    }

    subscript(origin: Label.Origin) -> SymbolTable? {
        switch origin {
        case .full: full
        case .dynamic, .pltSymbol: dynamic
        case .debugFile: debugFile
        case .pltResolver, .none: nil
        }
    }
}

/// Collects the labels of an object.
struct LabelCollector {
    private let code: CodeMap
    private(set) var labels: [Label] = []

    init(_ code: CodeMap) { self.code = code }

    mutating func add(_ table: SymbolTable, _ origin: Label.Origin) {
        labels.reserveCapacity(labels.count + table.count)
        unsafe table.entries.withUnsafeBytes { bytes in
            for index in 0..<table.count {
                let entry = unsafe SymbolEntry(bytes, at: index * SymbolTable.entrySize)
                guard let kind = kind(of: entry) else { continue }
                labels.append(
                    Label(
                        address: entry.value.rawValue, size: entry.size,
                        symbol: UInt32(truncatingIfNeeded: index), kind: kind, origin: origin))
            }
        }
    }

    /// nil for what is neither a function nor a place in the code.
    private func kind(of entry: SymbolEntry) -> Label.Kind? {
        guard !entry.isUndefined else { return nil }
        switch entry.type {
        case .function: return .function
        case .indirectFunction: return .indirectFunction
        case .none:
            let address = entry.value.rawValue
            guard address >= code.low, address < code.high,
                code.regionIndex(of: address) != nil
            else { return nil }
            return entry.binding == .local ? .localLabel : .globalLabel
        default: return nil
        }
    }

    mutating func add(_ ranges: [UnwindRange]) {
        labels.reserveCapacity(labels.count + ranges.count)
        for entry in ranges {
            labels.append(
                Label(
                    address: entry.range.start.rawValue, size: entry.range.count, symbol: 0,
                    kind: entry.startsInsideFrame ? .unwindInsideFrame : .unwind, origin: .none))
        }
    }

    mutating func add(_ stubs: [PLTStub]) {
        for stub in stubs {
            labels.append(
                Label(
                    address: stub.address, size: stub.size, symbol: stub.symbol, kind: .pltStub,
                    origin: stub.origin))
        }
    }
}
