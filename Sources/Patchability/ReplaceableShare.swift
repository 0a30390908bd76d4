import Threads

/// How many of some functions can be replaced, and how many of those be called all
/// the same.
public struct ReplaceableShare: Hashable, Sendable {
    /// Those that are counted: no parts of others, no PLT stubs, and nothing that has
    /// a function's type but lies outside the code.
    public private(set) var functions = 0
    public private(set) var replaceable = 0
    public private(set) var callable = 0

    public init() {}

    fileprivate mutating func add(_ other: Self) {
        functions += other.functions
        replaceable += other.replaceable
        callable += other.callable
    }

    /// Counts one function.
    mutating func take(_ code: VerdictCode, isCallable: Bool) {
        switch code {
        case .fragment, .pltStub, .outsideCode: return
        case .patchable: replaceable += 1
        default: break
        }
        functions += 1
        if isCallable { callable += 1 }
    }
}

extension OriginalCalls {
    /// So many functions are judged by one thread at a time.
    private static let portion = 4096

    /// The share of all functions.
    public borrowing func share() throws(CatalogError) -> ReplaceableShare {
        let knowledge = knowledge
        let starts = Array(stride(from: 0, to: catalog.count, by: Self.portion))
        let shares = WorkerThreads.map(starts) { start in
            Result { () throws(CatalogError) in
                try OriginalCalls(knowledge).share(
                    ofFunctions: start..<min(start + Self.portion, knowledge.catalog.count))
            }
        }
        var share = ReplaceableShare()
        for part in shares { share.add(try part.get()) }
        return share
    }

    private borrowing func share(ofFunctions numbers: Range<Int>) -> ReplaceableShare {
        var share = ReplaceableShare()
        for index in numbers {
            share.take(
                catalog.rows[index].code, isCallable: verdict(ofFunction: index) == .callable)
        }
        return share
    }

    /// The share of some.
    public borrowing func share(of records: [FunctionRecord]) -> ReplaceableShare {
        var share = ReplaceableShare()
        for record in records {
            share.take(record.verdict.code, isCallable: verdict(of: record) == .callable)
        }
        return share
    }
}
