import Addresses
import ELFImage

/// The object of a patch against the rules that make it safe to link into a
/// running process, and against its manifest.
struct ObjectChecks {
    /// The largest memory that the sections of a patch may take.
    static let memoryLimit: UInt64 = 64 << 20

    /// The bytes that the names of all symbols may take together.
    static let nameLimit = 16 << 20

    let object: ELFImage
    let manifest: PatchManifest
    let symbols: [Symbol]
    /// The indexes of the symbols with a definition, by name.
    private let definitions: [String: [Int]]
    /// By name: whether it is thread-local.
    private let listed: [String: Bool]

    /// Reads the symbol table.
    init(object: ELFImage, manifest: PatchManifest) throws(Failure) {
        self.object = object
        self.manifest = manifest
        guard object.kind == .relocatable else { throw .defect(.notRelocatable(object.kind)) }
        let tables = object.sections.count { $0.type == .symbolTable }
        guard tables == 1 else { throw .defect(.symbolTables(tables)) }
        symbols = try Self.symbols(of: object)
        definitions = Dictionary(
            grouping: symbols.indices.filter { [symbols] in
                symbols[$0].section != .undefined && symbols[$0].type != .file
            }, by: { [symbols] in symbols[$0].name })
        var listed: [String: Bool] = [:]
        for symbol in manifest.baseSymbols { listed[symbol.name] = symbol.isThreadLocal }
        for symbol in manifest.imports { listed[symbol.name] = symbol.kind == .threadLocal }
        for name in manifest.originals { listed[name] = false }
        self.listed = listed
    }

    enum Failure: Error {
        case object(ELFError)
        case defect(PatchDefect)
    }

    func run() throws(Failure) {
        do throws(PatchDefect) {
            try checkSections()
            try checkSymbols()
            try checkReplacements()
        } catch {
            throw .defect(error)
        }
        try checkContents()
        try checkRelocations()
    }

    private static func symbols(of object: ELFImage) throws(Failure) -> [Symbol] {
        let table: SymbolTable?
        do throws(ELFError) {
            table = try object.symbolTable(.full)
        } catch {
            throw .object(error)
        }
        guard let table else { return [] }
        guard namesAreBounded(in: table) else { throw .defect(.symbolNames(nameLimit)) }
        var symbols: [Symbol] = []
        symbols.reserveCapacity(table.count)
        do throws(ELFError) {
            for index in 0..<table.count { symbols.append(try table.symbol(index)) }
        } catch {
            throw .object(error)
        }
        return symbols
    }

    /// A million symbols may all point into one long name: what their names take
    /// together is bounded before they are read.
    private static func namesAreBounded(in table: SymbolTable) -> Bool {
        var rest = nameLimit
        for index in 0..<table.count {
            guard let start = table[index].map({ Int($0.nameOffset) }),
                start < table.strings.count
            else { return true }
            let reach = min(rest, table.strings.count - start)
            guard let length = table.strings.slice(start, reach)?.cStringLength(at: 0) else {
                // Without an end inside the table, reading that name will fail.
                return reach < rest
            }
            rest -= length + 1
        }
        return true
    }
}

// MARK: - Sections

extension ObjectChecks {
    private func checkSections() throws(PatchDefect) {
        let manifests = object.sections.count { $0.name == PatchFile.manifestSection }
        guard manifests == 1 else { throw .manifestSections(manifests) }
        var memory: UInt64 = 0
        for section in object.sections where section.flags.contains(.allocated) {
            try check(section)
            let (sum, overflow) = memory.addingReportingOverflow(section.size)
            memory = overflow ? .max : sum
        }
        guard memory <= Self.memoryLimit else {
            throw .memorySize(bytes: memory, limit: Self.memoryLimit)
        }
    }

    private func check(_ section: Section) throws(PatchDefect) {
        func refuse(_ reason: String) -> PatchDefect {
            .sectionFlags(section: section.name, flags: section.flags.rawValue, reason: reason)
        }
        if section.flags.isSuperset(of: [.writable, .executable]) {
            throw refuse("writable and executable at once")
        }
        if section.flags.contains(.compressed) { throw refuse("compressed") }
        if section.flags.contains(.threadLocal) { throw refuse("thread-local") }
        if Self.runsAtLoad(section) { throw .initialiser(section: section.name) }
        switch section.type {
        case .programBits, .noBits, .note, .unwind: break
        default: throw .sectionType(section: section.name, type: section.type.rawValue)
        }
        let alignment = max(section.alignment, 1)
        guard alignment <= 4096, alignment.nonzeroBitCount == 1 else {
            throw .sectionAlignment(section: section.name, alignment: alignment)
        }
    }

    /// By name or type (gABI, "Special Sections"): code and tables that a loader
    /// would run or walk.
    private static func runsAtLoad(_ section: Section) -> Bool {
        let names = [".init", ".fini", ".init_array", ".fini_array", ".preinit_array", ".ctors"]
        let types: [SectionType] = [.initialisers, .finalisers, .preinitialisers]
        return types.contains(section.type)
            || (names + [".dtors"]).contains {
                section.name == $0 || section.name.hasPrefix($0 + ".")
            }
    }

    /// Reads every loaded section once: one that passes the end of the file is
    /// found here and not in the middle of an apply.
    private func checkContents() throws(Failure) {
        for section in object.sections where section.flags.contains(.allocated) {
            do throws(ELFError) {
                _ = try object.bytes(of: section)
            } catch {
                throw .object(error)
            }
        }
    }

    /// The loaded section of that index, or nil where there is none.
    func loadedSection(_ index: Int) -> Section? {
        guard object.sections.indices.contains(index) else { return nil }
        let section = object.sections[index]
        return section.flags.contains(.allocated) ? section : nil
    }
}

extension SectionType {
    fileprivate static let initialisers = SectionType(rawValue: 14)  // SHT_INIT_ARRAY
    fileprivate static let finalisers = SectionType(rawValue: 15)  // SHT_FINI_ARRAY
    fileprivate static let preinitialisers = SectionType(rawValue: 16)  // SHT_PREINIT_ARRAY
}

// MARK: - Symbols

extension ObjectChecks {
    private func checkSymbols() throws(PatchDefect) {
        var undefined: Set<String> = []
        for symbol in symbols.dropFirst() {
            switch symbol.section {
            case .undefined where symbol.name == PatchFile.globalOffsetTable: break
            case .undefined:
                guard listed[symbol.name] != nil else { throw .unlistedSymbol(symbol.name) }
                undefined.insert(symbol.name)
            case .section(let index): try checkDefinition(symbol, in: index)
            case .common: throw .commonSymbol(symbol.name)
            case .absolute where symbol.type == .file: break
            case .absolute: throw .symbolSection(symbol.name, index: 0xfff1)
            case .reserved(let index): throw .symbolSection(symbol.name, index: Int(index))
            }
        }
        for name in manifest.undefinedNames
        where !undefined.contains(name) {
            throw .listedNotUndefined(name: name)
        }
    }

    private func checkDefinition(_ symbol: Symbol, in index: Int) throws(PatchDefect) {
        guard object.sections.indices.contains(index) else {
            throw .symbolSection(symbol.name, index: index)
        }
        if symbol.type == .threadLocal { throw .threadLocalDefinition(symbol.name) }
        if symbol.type == .indirectFunction { throw .indirectFunctionDefinition(symbol.name) }
        let section = object.sections[index]
        let (end, overflow) = symbol.value.rawValue.addingReportingOverflow(symbol.size)
        guard !overflow, end <= section.size else {
            throw .symbolRange(
                symbol.name, value: symbol.value.rawValue, size: symbol.size,
                section: section.name)
        }
    }

    private func checkReplacements() throws(PatchDefect) {
        for function in manifest.functions {
            guard let reason = reasonAgainstCalling(function.replacement) else { continue }
            throw .replacement(
                symbol: function.symbol, replacement: function.replacement, reason: reason)
        }
        for name in manifest.runsOnce.callbacks {
            if let reason = reasonAgainstCalling(name) { throw .callback(name, reason: reason) }
        }
    }

    /// Why `name` is not one function of the object; nil where it is.
    private func reasonAgainstCalling(_ name: String) -> String? {
        let found = definitions[name] ?? []
        guard let index = found.first else { return "is not in the object" }
        guard found.count == 1 else { return "is defined \(found.count) times" }
        let symbol = symbols[index]
        guard symbol.type == .function, symbol.size > 0,
            case .section(let index) = symbol.section,
            let section = loadedSection(index), section.isExecutable,
            section.type == .programBits
        else { return "is not a function with code" }
        return nil
    }
}

// MARK: - Relocations

extension ObjectChecks {
    private func checkRelocations() throws(Failure) {
        for section in object.sections {
            guard
                section.type == .relocationsWithAddends || section.type == .relocations
                    || section.type == .relativeRelocations
            else { continue }
            guard let target = loadedSection(Int(section.info)) else { continue }
            let relocations: [Relocation]
            do throws(ELFError) {
                relocations = try object.relocations(in: section)
            } catch {
                throw .object(error)
            }
            do throws(PatchDefect) {
                try checkHeader(section, target)
                for relocation in relocations { try check(relocation, in: target) }
            } catch {
                throw .defect(error)
            }
        }
    }

    private func checkHeader(_ section: Section, _ target: Section) throws(PatchDefect) {
        func refuse(_ reason: String) -> PatchDefect {
            .relocationSection(section: section.name, reason: reason)
        }
        guard section.type == .relocationsWithAddends else {
            throw refuse("has no explicit addends, which x86-64 objects have")
        }
        guard object.sections.indices.contains(Int(section.link)),
            object.sections[Int(section.link)].type == .symbolTable
        else { throw refuse("does not refer to the symbol table") }
        guard target.type != .noBits else { throw refuse("changes a section without bytes") }
    }

    private func check(_ relocation: Relocation, in target: Section) throws(PatchDefect) {
        let offset = relocation.offset.rawValue
        guard let kind = PatchRelocation(rawValue: relocation.type.rawValue),
            !kind.isOfFixedPrograms || manifest.base.kind == .executable
        else {
            throw .relocationType(
                section: target.name, offset: offset, type: relocation.type.rawValue)
        }
        guard offset <= target.size, kind.width <= target.size - offset else {
            throw .relocationOffset(section: target.name, offset: offset, size: target.size)
        }
        guard kind != .none else { return }
        let index = Int(relocation.symbolIndex)
        guard index > 0, symbols.indices.contains(index) else {
            throw .relocationSymbol(
                section: target.name, offset: offset, symbol: relocation.symbolIndex)
        }
        let symbol = symbols[index]
        switch symbol.section {
        case .undefined where symbol.name != PatchFile.globalOffsetTable: break
        case .section(let number) where loadedSection(number) != nil: break
        default:
            throw .relocationSymbol(
                section: target.name, offset: offset, symbol: relocation.symbolIndex)
        }
        let isThreadLocal = symbol.section == .undefined && listed[symbol.name] == true
        guard kind.isThreadLocal == isThreadLocal else {
            throw .relocationThreadLocal(
                section: target.name, offset: offset, symbol: symbol.name)
        }
    }
}

extension PatchRelocation {
    /// Whether it takes an address in 32 bits.
    fileprivate var isOfFixedPrograms: Bool { self == .absolute32 || self == .absolute32Signed }

    fileprivate var isThreadLocal: Bool { self == .tlsGeneralDynamic || self == .tlsInitialExec }
}

extension BaseSymbol {
    fileprivate var isThreadLocal: Bool {
        if case .threadLocal = location { true } else { false }
    }
}
