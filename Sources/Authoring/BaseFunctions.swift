import Addresses
import ELFImage
import Patchability

/// A function of the base by the name that a source gives it.
struct BaseFunction {
    /// The name in the source.
    let name: String
    let record: FunctionRecord
    /// The source file of a local function, as far as the base tells.
    let sourceFile: String?
    let isLocal: Bool

    var address: LinkAddress { record.address }
}

extension BaseObject {
    /// The functions that a source calls `name`, in the order of addresses.
    /// Link-time optimisation renames local ones to `name.lto_priv.N`.
    func functions(named name: String) -> [BaseFunction] {
        let symbols = names(from: name).filter {
            $0 == name || $0.hasPrefix(name + ".lto_priv.")
        }
        return functions(symbols, of: name) { kind in
            switch kind {
            case .pltStub, .fragment: false
            case .clone, .ordinary, .ifuncResolver, .unnamed: true
            }
        }
    }

    /// The function at `address`, which has the symbol `symbol`. Of a clone the name is
    /// that of what it was made of.
    func function(at address: LinkAddress, symbol: String) -> BaseFunction? {
        guard let record = catalog.function(at: address) else { return nil }
        if case .clone(let name) = CloneSuffix.kind(of: symbol) {
            return BaseFunction(record, name: name, symbol: symbol)
        }
        return BaseFunction(record, name: symbol)
    }

    /// The copies of `function` that the compiler has specialised.
    func clones(of function: BaseFunction) -> [BaseFunction] {
        let symbols = names(from: function.name + ".").filter {
            if case .clone(of: function.name) = CloneSuffix.kind(of: $0) {
                !$0.contains(".lto_priv.")
            } else {
                false
            }
        }
        return functions(symbols, of: function.name) { kind in
            if case .clone = kind { true } else { false }
        }.filter { belongs($0, to: function) }
    }

    /// The parts of `function` that stand apart from it.
    func fragments(of function: BaseFunction) -> [AddressRange<LinkAddress>] {
        let whole = function.record.names.map(\.text)
        let symbols = Set(whole + [function.name]).flatMap { names(from: $0 + ".cold") }.filter {
            if case .fragment(let of?) = CloneSuffix.kind(of: $0) {
                of == function.name || whole.contains(of)
            } else {
                false
            }
        }
        return functions(Set(symbols).sorted(), of: function.name) { kind in
            if case .fragment = kind { true } else { false }
        }.filter { belongs($0, to: function) }.map(\.record.range).filter { !$0.isEmpty }
    }

    /// A function of the catalog with its parts; of a part, the function that it
    /// belongs to.
    func codeFunction(of record: FunctionRecord) -> CodeFunction {
        var whole = record
        if case .fragment(let name?) = record.kind {
            let file = record.names.first?.sourceFile
            let owners = functions(named: name)
            let owner = owners.count == 1 ? owners.first : owners.first { $0.sourceFile == file }
            whole = owner?.record ?? record
        }
        let function = BaseFunction(whole, name: whole.name ?? whole.displayName)
        return CodeFunction(
            name: whole.displayName, ranges: [whole.range] + fragments(of: function))
    }

    private func functions(
        _ symbols: [String], of name: String, where fits: (FunctionKind) -> Bool
    ) -> [BaseFunction] {
        var seen: Set<LinkAddress> = []
        return symbols.flatMap { symbol in
            self.symbols(named: symbol).filter { $0.type != .threadLocal && $0.isExecutable }
                .compactMap { catalog.function(at: $0.value) }.map { (symbol, $0) }
        }.compactMap { symbol, record in
            guard fits(record.kind), seen.insert(record.address).inserted else { return nil }
            return BaseFunction(record, name: name, symbol: symbol)
        }.sorted { $0.address < $1.address }
    }

    /// Local functions of several sources may have one name; their clones and
    /// parts are told apart by the source. A global function's are local, so of
    /// them only is known that no local function claims them.
    private func belongs(_ part: BaseFunction, to function: BaseFunction) -> Bool {
        let others = functions(named: function.name).filter { $0.address != function.address }
        guard !others.isEmpty else { return true }
        if function.isLocal { return part.sourceFile == function.sourceFile }
        return !others.contains { $0.sourceFile == part.sourceFile }
    }
}

extension BaseFunction {
    fileprivate init(_ record: FunctionRecord, name: String, symbol: String? = nil) {
        self.name = name
        self.record = record
        let own = record.names.first { $0.text == symbol ?? name } ?? record.names.first
        isLocal = own.map { $0.binding == .local } ?? true
        sourceFile = own?.sourceFile
    }

    /// The other names of the same code: aliases, and functions that the linker
    /// found to be equal and folded to one (--icf).
    var aliases: [String] {
        record.names.map(\.text).filter { $0 != name && !$0.hasPrefix(name + ".") }
    }

    var candidate: SymbolCandidate {
        SymbolCandidate(
            name: name, address: address, sourceFile: sourceFile, isLocal: isLocal)
    }
}
