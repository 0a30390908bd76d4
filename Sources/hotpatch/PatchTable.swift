import HotpatchKit
import JSONText

/// What a patch does, a row for each function and symbol.
struct PatchTable {
    private var table = Table([
        .init(title: "what"), .init(title: "name"), .init(title: "kind"),
        .init(title: "address"), .init(title: "size", alignment: .right),
        .init(title: "detail", shrinking: .init(rank: 1, least: 12)),
    ])

    mutating func add(
        _ what: String, _ name: String, _ kind: String = "", address: LinkAddress? = nil,
        size: UInt64? = nil, detail: String = ""
    ) {
        table.add([
            what, name, kind, address.map { "\($0)" } ?? "", size.map { "\($0)" } ?? "", detail,
        ])
    }

    mutating func addContents(of patch: PatchFile) {
        let manifest = patch.manifest
        for function in manifest.functions {
            add(
                "replaces", function.symbol, "function", address: function.range.start,
                size: function.range.count, detail: function.detail)
            for fragment in function.fragments {
                add(
                    "replaces", function.symbol, "fragment", address: fragment.start,
                    size: fragment.count)
            }
            for copy in function.copies.list {
                add(
                    "leaves", function.symbol, copy.kind.rawValue, address: copy.address,
                    detail: copy.detail)
            }
        }
        for callback in manifest.runsOnce.callbacks {
            add("calls", callback, "function", detail: "once, before any replacement")
        }
        for registry in manifest.runsOnce.registries { add(registry) }
        for symbol in manifest.baseSymbols { add(symbol) }
        for symbol in manifest.imports {
            let version = symbol.version.map { "@\($0)" } ?? ""
            add(
                "imports", symbol.name + version, symbol.kind.title,
                detail: [symbol.library ?? "", symbol.weak ? "weak" : ""]
                    .filter { !$0.isEmpty }.joined(separator: ", "))
        }
        for symbol in patch.added {
            add("adds", symbol.name, symbol.kind.rawValue, size: symbol.size)
        }
    }

    private mutating func add(_ registry: FrameRegistry) {
        let name = FrameRegistry.functionName
        let detail = "once, for exceptions"
        switch registry {
        case .base(let address): add("calls", name, "function", address: address, detail: detail)
        case .imported(let symbol):
            let version = symbol.version.map { "@\($0)" } ?? ""
            add(
                "calls", name + version, "function",
                detail: detail + (symbol.library.map { ", in \($0)" } ?? ""))
        }
    }

    private mutating func add(_ symbol: BaseSymbol) {
        switch symbol.location {
        case .function(let address):
            add("uses", symbol.name, "function", address: address, size: symbol.size)
        case .object(let address):
            add("uses", symbol.name, "data", address: address, size: symbol.size)
        case .indirectFunction(let address):
            add("uses", symbol.name, "ifunc", address: address, size: symbol.size)
        case .threadLocal(let offset):
            add(
                "uses", symbol.name, "thread-local", size: symbol.size,
                detail: "offset \(offset) in the thread-local segment")
        }
    }

    func text(format: OutputFormat, width: Int?) -> String {
        table.text(format: format, width: width)
    }
}

extension PatchFile {
    /// The members of a document that tell what a patch is and does.
    var json: [JSONMember] {
        [
            JSONMember("digest", .string(Hexadecimal.text(digest))),
            JSONMember("patch", manifest.json),
            JSONMember("added", .array(added.map(\.json))),
        ]
    }
}

extension AddedSymbol {
    fileprivate var json: JSONValue {
        [
            "name": .string(name), "kind": .string(kind.rawValue),
            "size": .integer(Int64(clamping: size)),
        ]
    }
}

extension ImportedSymbol.Kind {
    fileprivate var title: String {
        switch self {
        case .function: "function"
        case .object: "data"
        case .indirectFunction: "ifunc"
        case .threadLocal: "thread-local"
        }
    }
}

extension ReplacedFunction {
    fileprivate var detail: String {
        var parts: [String] = []
        if let sourceFile { parts.append("static in \(sourceFile)") }
        if site != range.start { parts.append("site \(site)") }
        if let contract {
            if !contract.preserve.isEmpty { parts.append("keeps \(contract.keptNames)") }
            if contract.alignStack { parts.append("aligns the stack") }
        }
        if callsOriginal { parts.append("calls the original") }
        if case .unknown = copies { parts.append("inlined copies unknown") }
        return parts.joined(separator: "; ")
    }
}

extension EntryContract {
    /// `rcx rdx xmm0-xmm15`: the vector registers in runs, of which there are many.
    fileprivate var keptNames: String {
        let all = KeptRegister.allCases
        var names: [String] = []
        var index = 0
        while index < all.count {
            guard preserve.contains(all[index]) else {
                index += 1
                continue
            }
            var last = index
            while all[index].isVector, last + 1 < all.count, all[last + 1].isVector,
                preserve.contains(all[last + 1])
            {
                last += 1
            }
            let run = last - index > 1
            names +=
                run
                ? ["\(all[index].rawValue)-\(all[last].rawValue)"]
                : all[index...last].map(\.rawValue)
            index = last + 1
        }
        return names.joined(separator: " ")
    }
}

extension KeptRegister {
    fileprivate var isVector: Bool { rawValue.hasPrefix("xmm") }
}

extension RemainingCopies {
    fileprivate var list: [RemainingCopy] {
        switch self {
        case .none: []
        case .accepted(let copies), .unknown(let copies): copies
        }
    }
}

extension RemainingCopy {
    fileprivate var detail: String {
        let place = sourceFile.map { " (\($0)\(line.map { ":\($0)" } ?? ""))" } ?? ""
        return (kind == .inlined ? "in \(function)" : function) + place
    }
}
