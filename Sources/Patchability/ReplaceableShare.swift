/// How many of some functions can be replaced, and how many of those be called all
/// the same.
public struct ReplaceableShare: Hashable, Sendable {
    /// Those that are counted: no parts of others, no PLT stubs, and nothing that has
    /// a function's type but lies outside the code.
    public private(set) var functions = 0
    public private(set) var replaceable = 0
    public private(set) var callable = 0

    public init() {}

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
    /// The share of all functions.
    public borrowing func share() -> ReplaceableShare {
        var share = ReplaceableShare()
        for index in catalog.indices {
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
