import Addresses
import ELFImage
import Patchability

/// Joins what goes into a patch to one object, and binds what it refers to.
struct PatchAssembly {
    /// An undefined symbol of the object, and what it is in the base.
    struct Binding: Hashable {
        let location: BaseLocation
        let isFunction: Bool
        let size: UInt64
    }

    let changes: ChangeSet
    let locators: [BaseLocator]
    let base: any LinkedBase
    var writer = ObjectWriter()
    private var outputs: [AtomPlace: Int] = [:]
    private var literals: Literals?
    /// The names that are given, with what they stand for.
    private var names: [String: Name] = [:]
    private(set) var bindings: [String: Binding] = [:]
    /// Names that others define, and whether they may stay undefined.
    private(set) var externals: [String: Bool] = [:]
    /// The symbols of the object that stand for a function, by its names.
    private var symbols: [AtomPlace: [(name: String, symbol: String)]] = [:]
    /// Those names whose places are referred to without a table: what is there must be
    /// near.
    private(set) var direct: [String: AtomPlace] = [:]

    private enum Name: Hashable {
        case own(AtomPlace, Int)
        case bound(BaseLocation)
        case external
    }

    /// One section for all literals, each once.
    private struct Literals {
        let section: Int
        var offsets: [[UInt8]: UInt64] = [:]
    }

    init(_ changes: ChangeSet, _ locators: [BaseLocator], base: any LinkedBase) throws(ChangeError)
    {
        self.changes = changes
        self.locators = locators
        self.base = base
        // The names of other objects are as they are; what has a name of its own gets
        // another one where they meet.
        let places = changes.included.sorted()
        try reserveExternals(places)
        for place in places { addSection(place) }
        for place in places { try addRelocations(place) }
        try addUnwindTable(places)
    }

    /// The functions that are called before any replacement, in their order.
    var callbacks: [String] { changes.callbacks.compactMap { symbols[$0]?.first?.symbol } }

    var object: [UInt8] { writer.object(weak: Set(externals.filter(\.value).keys)) }

    // MARK: - Names

    private mutating func reserveExternals(_ places: [AtomPlace]) throws(ChangeError) {
        for place in places {
            for relocation in changes.atom(place)?.relocations ?? [] {
                if case .name(let name, _, _) = try destination(
                    of: relocation, in: place, lead: 0), self.place(of: name) == nil
                {
                    names[name] = .external
                }
            }
        }
    }

    /// A name for `meaning` that stands for nothing else.
    private mutating func unique(_ name: String, for meaning: Name) -> String {
        var candidate = name
        var number = 1
        while let taken = names[candidate], taken != meaning {
            number += 1
            candidate = "\(name)~\(number)"
        }
        names[candidate] = meaning
        return candidate
    }

    /// Where a base without names has something that another object defines.
    func place(of name: String) -> BaseLocation? {
        guard base.definitions(of: name).isEmpty, !base.imports(name) else { return nil }
        return locators.first?.nameless?.location(of: name)
    }

    // MARK: - Sections

    private mutating func addSection(_ place: AtomPlace) {
        guard let atom = changes.atom(place) else { return }
        let section = atom.section
        let output = writer.add(
            OutputSection(
                name: section.name, type: section.type,
                flags: section.flags.subtracting([.group, .mergeable, .strings]),
                alignment: section.alignment, size: section.size, bytes: atom.bytes.array()))
        outputs[place] = output
        for (index, label) in atom.labels.enumerated()
        where label.value.rawValue == 0 && [.function, .object].contains(label.type) {
            let name = unique(label.name, for: .own(place, index))
            writer.symbols.append(
                OutputSymbol(name: name, section: output, size: label.size, type: label.type))
            if label.type == .function { symbols[place, default: []].append((label.name, name)) }
        }
    }

    /// The symbol of the object for a function, that for the name `likely` before others.
    func symbol(of place: AtomPlace, likely: String) -> String? {
        let all = symbols[place] ?? []
        return (all.first { $0.name == likely } ?? all.first)?.symbol
    }

    /// Where the literal is in the output; nil where there is none at that place.
    private mutating func offset(of literal: ByteView?, alignment: UInt64) -> (Int, UInt64)? {
        guard let literal else { return nil }
        var pool =
            literals
            ?? Literals(
                section: writer.add(
                    OutputSection(
                        name: ".rodata.literals", type: .programBits, flags: .allocated,
                        alignment: 1, size: 0, bytes: [])))
        defer { literals = pool }
        let bytes = literal.array()
        let alignment = max(1, min(alignment, 4096))
        if let known = pool.offsets[bytes], known % alignment == 0 { return (pool.section, known) }
        let offset = writer.append(bytes, aligned: alignment, to: pool.section)
        pool.offsets[bytes] = offset
        return (pool.section, offset)
    }

    // MARK: - Relocations

    private mutating func addRelocations(_ place: AtomPlace) throws(ChangeError) {
        guard let atom = changes.atom(place), let output = outputs[place] else { return }
        guard atom.kind == .code else {
            for relocation in atom.relocations { try add(relocation, of: place, output, lead: 0) }
            return
        }
        var reader = CodeReader(atom.bytes)
        while let line = reader.line {
            if let form = relaxation(line, atom) {
                try write(form, line, of: place, output)
                reader.skip(to: line.offset + form.length)
                continue
            }
            for relocation in atom.relocations(in: line.offset..<line.end) {
                let kind = RelocationKind(rawValue: relocation.type.rawValue)
                let isRelative = kind?.isPCRelative ?? false
                let lead = Int64(line.end) - Int64(bitPattern: relocation.offset.rawValue)
                try add(relocation, of: place, output, lead: isRelative ? lead : 0)
            }
            reader.skip(line)
        }
    }

    /// - Parameter shift: what the relocation's place has moved by.
    private mutating func add(
        _ relocation: Relocation, of place: AtomPlace, _ output: Int, lead: Int64, shift: Int = 0
    ) throws(ChangeError) {
        let offset = relocation.offset.rawValue &+ UInt64(bitPattern: Int64(shift))
        func refuse() -> ChangeError {
            let object = changes.comparisons[place.object].after
            return .relocation(
                object: object.name, function: changes.atom(place)?.name ?? "",
                type: relocation.type.rawValue, symbol: object.targetName(of: relocation))
        }
        let destination = try destination(of: relocation, in: place, lead: lead)
        guard let kind = RelocationKind(rawValue: relocation.type.rawValue) else { throw refuse() }
        if kind == .none { return }
        if let value = try constant(kind, destination, in: place) {
            return writer.overwrite(littleEndian(value), at: Int(clamping: offset), in: output)
        }
        if kind == .tlsLocalDynamic {
            let block = OutputTarget.undefined(bind(Relaxation.blockName, at: .threadLocal(0)))
            let type = RelocationKind.tlsGeneralDynamic.rawValue
            return writer.add(
                OutputRelocation(offset: offset, type: type, target: block, addend: 0 &- lead),
                to: output)
        }
        if kind.isThreadLocal, case .name(let name, _, _) = destination,
            self.place(of: name) == nil,
            !base.definitions(of: name).contains(where: { $0.kind == .threadLocal })
        {
            throw foreignVariable(relocation, in: place)
        }
        if kind == .tlsDescriptor || kind == .tlsDescriptorCall {
            let object = changes.comparisons[place.object].after
            throw .threadDescriptor(
                object: object.name, function: changes.atom(place)?.name ?? "",
                symbol: object.targetName(of: relocation))
        }
        guard kind.isLinkable(in: base.image), let (target, distance) = try target(destination)
        else {
            throw refuse()
        }
        if case .name(let name, _, _) = destination, kind.isDirect, self.place(of: name) == nil {
            direct[name] = place
        }
        writer.add(
            OutputRelocation(
                offset: offset, type: relocation.type.rawValue, target: target,
                addend: distance &- lead), to: output)
    }

    /// Where a reference leads: what the code of a library asks the loader for it goes on
    /// asking for, as for a function that a resolver chooses.
    private func destination(
        of relocation: Relocation, in place: AtomPlace, lead: Int64
    ) throws(ChangeError) -> ChangeSet.Destination {
        let symbol = changes.comparisons[place.object].after.symbol(of: relocation)
        let asking: [RelocationKind] = [
            .plt32, .absolute64, .gotPCRelative, .gotPCRelativeRelaxable,
            .rexGOTPCRelativeRelaxable,
        ]
        let asks = asking.contains { $0.rawValue == relocation.type.rawValue }
        if symbol.type == .indirectFunction
            || asks && symbol.binding != .local && symbol.visibility == .normal
                && base.isInterposable(symbol.name)
        {
            return .name(symbol.name, offset: relocation.addend &+ lead, isWeak: false)
        }
        return try changes.destination(of: relocation, in: place, lead: lead)
    }

    private mutating func target(
        _ destination: ChangeSet.Destination
    ) throws(ChangeError) -> (OutputTarget, Int64)? {
        switch destination {
        case .included(let place, let offset):
            return outputs[place].map { (.section($0), offset) }
        case .literal(let place, let anchor, let distance):
            guard let atom = changes.atom(place),
                let (section, offset) = offset(
                    of: atom.literal(at: anchor), alignment: atom.section.alignment)
            else { return nil }
            return (.section(section), Int64(clamping: offset) &+ distance)
        case .base(let place, let offset):
            return (.undefined(try bind(place)), offset)
        case .name(let name, let offset, let isWeak):
            if let place = place(of: name) {
                var isFunction = false
                if case .address(let address) = place {
                    isFunction = base.catalog.function(at: address) != nil
                }
                return (.undefined(bind(name, at: place, isFunction: isFunction)), offset)
            }
            externals[name] = (externals[name] ?? true) && isWeak
            return (.undefined(name), offset)
        case .absolute:
            return nil
        }
    }

    /// The undefined symbol for what the base has.
    private mutating func bind(_ place: AtomPlace) throws(ChangeError) -> String {
        let (locator, section) = (locators[place.object], place.section)
        let atom = locator.object.atoms[section]
        let isFunction = atom?.kind == .code
        let location =
            isFunction
            ? BaseLocation.address(try locator.function(section))
            : try locator.datum(section)
        return bind(
            atom?.name ?? "section.\(section)", at: location, isFunction: isFunction,
            size: atom?.symbol?.size ?? 0)
    }

    private mutating func bind(
        _ name: String, at location: BaseLocation, isFunction: Bool = false, size: UInt64 = 0
    ) -> String {
        let name = unique(name, for: .bound(location))
        bindings[name] = Binding(location: location, isFunction: isFunction, size: size)
        return name
    }

    /// The value of a reference that is the same in every process.
    private func constant(
        _ kind: RelocationKind, _ destination: ChangeSet.Destination, in place: AtomPlace
    ) throws(ChangeError) -> UInt32? {
        switch kind {
        case .threadOffset32:
            return try threadOffset(destination, in: place)
        case .moduleOffset32:
            guard base.image.kind == .sharedObject else {
                return try threadOffset(destination, in: place)
            }
            return try blockOffset(destination).flatMap { UInt32(exactly: $0) }
        case .absolute32, .absolute32Signed:
            guard base.image.kind == .executable,
                case .base(let home, let offset) = destination
            else { return nil }
            let (locator, section) = (locators[home.object], home.section)
            let isFunction = locator.object.atoms[section]?.kind == .code
            let location =
                isFunction
                ? BaseLocation.address(try locator.function(section))
                : try locator.datum(section)
            guard case .address(let address) = location else { return nil }
            return UInt32(exactly: address.rawValue &+ UInt64(bitPattern: offset))
        default:
            return nil
        }
    }

    // MARK: - Unwind tables

    /// The entries for the functions that come along, and those that they start from.
    private mutating func addUnwindTable(_ places: [AtomPlace]) throws(ChangeError) {
        let output = writer.add(
            OutputSection(
                name: ".eh_frame", type: .programBits, flags: .allocated, alignment: 8, size: 0,
                bytes: []))
        for (index, tables) in changes.unwind.enumerated() {
            let object = changes.comparisons[index].after
            for (section, table) in tables {
                let home = AtomPlace(object: index, section: section)
                guard let atom = object.atoms[section] else { continue }
                var parents: [Int: Int] = [:]
                for entry in table.entries {
                    guard let described = entry.section, let parent = entry.parent,
                        changes.included.contains(AtomPlace(object: index, section: described)),
                        let start = table.entry(at: parent)
                    else { continue }
                    if parents[parent] == nil {
                        parents[parent] = try append(start.range, of: atom, home, output)
                    }
                    let place = try append(entry.range, of: atom, home, output)
                    // The distance from its own field back to the CIE.
                    let back = place + 4 - (parents[parent] ?? 0)
                    writer.overwrite(
                        littleEndian(UInt32(truncatingIfNeeded: back)), at: place + 4, in: output)
                }
            }
        }
    }

    /// Copies an entry with its relocations, and returns where it stands.
    private mutating func append(
        _ range: Range<Int>, of atom: Atom, _ home: AtomPlace, _ output: Int
    ) throws(ChangeError) -> Int {
        let bytes = atom.bytes.slice(range.lowerBound, range.count)?.array() ?? []
        let place = Int(clamping: writer.append(bytes, aligned: 4, to: output))
        for relocation in atom.relocations(in: range) {
            try add(relocation, of: home, output, lead: 0, shift: place - range.lowerBound)
        }
        return place
    }
}

extension RelocationKind {
    /// Whether it takes the place itself in 32 bits, and no stub would serve for data.
    fileprivate var isDirect: Bool {
        [.pc32, .absolute32, .absolute32Signed].contains(self)
    }

    /// Whether a patch may have it (``PatchRelocation`` of the room PatchFile). An
    /// address in 32 bits is one of a program that is not moved, and has room beside it.
    fileprivate func isLinkable(in image: ELFImage) -> Bool {
        switch self {
        case .absolute32, .absolute32Signed: image.kind == .executable
        case .absolute64, .pc32, .plt32, .gotPCRelative, .tlsGeneralDynamic, .tlsInitialExec,
            .pc64, .gotPCRelativeRelaxable, .rexGOTPCRelativeRelaxable:
            true
        default: false
        }
    }
}

extension ELFImage {
    /// How far the thread pointer of a program is behind the start of its
    /// thread-local segment (ELF Handling For Thread-Local Storage, 3.4.2, variant II).
    var threadPointerOffset: UInt64? {
        guard let segment = tlsSegment else { return nil }
        let alignment = max(segment.alignment, 1)
        let (sum, overflow) = segment.memorySize.addingReportingOverflow(alignment - 1)
        return overflow ? nil : sum / alignment * alignment
    }
}
