import Addresses
import ELFImage
import LiveProcess
import SystemPackage

/// Names for addresses in a process, from the symbol tables of what it has
/// loaded and from separate debug files. Slow: for when all threads run again.
public struct FrameNames {
    /// Where an address lies.
    public struct Place: Hashable, Sendable {
        public struct Function: Hashable, Sendable {
            public let name: String
            /// Bytes from its start.
            public internal(set) var offset: UInt64
        }

        /// The path of the object, or what a mapping without a file is called.
        public let object: String
        /// nil where no symbol tells.
        public internal(set) var function: Function?

        public init(object: String, function: Function?) {
            self.object = object
            self.function = function
        }
    }

    private var places: [RemoteAddress: Place] = [:]

    /// - Parameters:
    ///   - addresses: instructions; of a call, not where it returns to, which may be
    ///     the next function already.
    ///   - tables: those of code that belongs to no ELF object.
    public init(
        of addresses: Set<RemoteAddress>, in process: TargetProcess, tables: [UnwindTable] = []
    ) {
        guard !addresses.isEmpty, let map = try? process.memoryMap(),
            let objects = try? process.loadedObjects(in: map)
        else { return }
        var rest = addresses
        for object in objects {
            let own = rest.filter { address in
                object.textRegions.contains { $0.range.contains(address) }
            }
            guard !own.isEmpty else { continue }
            rest.subtract(own)
            name(own, in: object, of: process)
        }
        for table in tables {
            let own = rest.filter(table.code.contains)
            guard !own.isEmpty else { continue }
            rest.subtract(own)
            name(own, by: table, of: process)
        }
        for address in rest {
            guard let region = map.region(at: address), !region.path.isEmpty else { continue }
            places[address] = Place(object: region.path, function: nil)
        }
    }

    /// The table tells where functions start and end.
    private mutating func name(
        _ addresses: Set<RemoteAddress>, by table: UnwindTable, of process: TargetProcess
    ) {
        let image = table.image(reading: process).flatMap {
            try? ELFImage.parse(bytes: $0, name: table.name)
        }
        let ranges = ((try? image?.unwindRanges()) ?? []).map(\.range)
        for address in addresses {
            let range = ranges.first { $0.contains(LinkAddress(rawValue: address.rawValue)) }
            let start = range.map { RemoteAddress(rawValue: $0.start.rawValue) }
            var function: Place.Function?
            if let start, let name = table.functions[start] {
                function = .init(name: name, offset: address.rawValue - start.rawValue)
            }
            places[address] = Place(object: "patch '\(table.name)'", function: function)
        }
    }

    /// What lies at an address that was asked for.
    public subscript(address: RemoteAddress) -> Place? { places[address] }

    private mutating func name(
        _ addresses: Set<RemoteAddress>, in object: LoadedObject, of process: TargetProcess
    ) {
        var search = SymbolSearch(for: addresses.map { object.bias.link($0) })
        // Without the file, or with one that is broken, the object's name has to do.
        if let image = try? process.openImage(of: object) {
            search.look(in: image)
            let root = FilePath("/proc/\(process.id)/root")
            if !search.isComplete,
                let debug = try? DebugFiles.locate(
                    for: image, path: FilePath(object.path), root: root
                ).found
            {
                search.look(in: debug)
            }
        }
        for address in addresses {
            let function = search.function(at: object.bias.link(address))
            places[address] = Place(object: object.path, function: function)
        }
    }
}

/// The functions around some addresses of one object.
private struct SymbolSearch {
    private struct Function {
        let start: LinkAddress
        let name: String

        /// The innermost first, and of its names the one that is not meant for the
        /// implementation only (`read` before `__read`).
        func isBetter(than other: Function) -> Bool {
            if start != other.start { return start > other.start }
            return underscores < other.underscores
        }

        private var underscores: Int { name.utf8.prefix { $0 == UInt8(ascii: "_") }.count }
    }

    private let addresses: [LinkAddress]
    private var found: [Function?]

    init(for addresses: [LinkAddress]) {
        self.addresses = addresses.sorted()
        found = Array(repeating: nil, count: addresses.count)
    }

    var isComplete: Bool { found.allSatisfy { $0 != nil } }

    func function(at address: LinkAddress) -> FrameNames.Place.Function? {
        let index = firstIndex(from: address)
        guard index < addresses.count, addresses[index] == address, let function = found[index]
        else { return nil }
        return .init(
            name: function.name, offset: address.rawValue - function.start.rawValue)
    }

    /// One pass over each table: there are few addresses and perhaps a million symbols.
    mutating func look(in image: ELFImage) {
        for kind in [SymbolTableKind.full, .dynamic] {
            guard let table = try? image.symbolTable(kind) else { continue }
            for index in 0..<table.count {
                guard let entry = table[index], !entry.isUndefined, entry.isFunction else {
                    continue
                }
                take(entry) { table.name(index) }
            }
        }
    }

    private mutating func take(_ entry: SymbolEntry, _ name: () -> String?) {
        let end = entry.value.rawValue.addingReportingOverflow(entry.size).partialValue
        var index = firstIndex(from: entry.value)
        while index < addresses.count, addresses[index].rawValue < end {
            // Linkers write the version into the names of .symtab: `f@@V1`.
            let name = (name() ?? "").prefix { $0 != "@" }
            let function = Function(start: entry.value, name: String(name))
            if !name.isEmpty, found[index].map({ function.isBetter(than: $0) }) ?? true {
                found[index] = function
            }
            index += 1
        }
    }

    /// The index of the first address that is not below `bound`.
    private func firstIndex(from bound: LinkAddress) -> Int {
        var low = 0
        var high = addresses.count
        while low < high {
            let middle = (low + high) / 2
            if addresses[middle] < bound { low = middle + 1 } else { high = middle }
        }
        return low
    }
}

extension SymbolEntry {
    /// Functions of assembler files often have no type.
    fileprivate var isFunction: Bool {
        type == .function || type == .indirectFunction || type == .none
    }
}
