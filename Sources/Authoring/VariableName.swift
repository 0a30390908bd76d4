/// What a source calls a variable, read out of the name of its symbol. Compilers
/// change those of variables that are static inside a function: GCC numbers them
/// (`count.0`), Clang puts the function before them (`work.count`, `work.count.1`).
struct VariableName: Hashable {
    /// In the source.
    let name: String
    /// The function that it is static in, where the symbol tells.
    let function: String?
    let isInFunction: Bool

    init(symbol: String) {
        var parts = symbol.split(separator: ".", omittingEmptySubsequences: false)
        let isNumbered = parts.count > 1 && parts.last.map(Self.isNumber) ?? false
        if isNumbered { parts.removeLast() }
        // What link-time optimisation adds to a local name.
        if parts.count > 1, parts.last == "lto_priv" {
            parts.removeLast()
            isInFunction = parts.count > 1
        } else {
            isInFunction = isNumbered || parts.count > 1
        }
        name = parts.last.map(String.init) ?? symbol
        function = parts.count > 1 ? parts.dropLast().joined(separator: ".") : nil
    }

    /// Whether both may be the same variable, whichever compilers made them.
    func mayBe(_ other: VariableName) -> Bool {
        name == other.name && isInFunction == other.isInFunction
            && (function == nil || other.function == nil || function == other.function)
    }

    private static func isNumber(_ text: Substring) -> Bool {
        !text.isEmpty && text.utf8.allSatisfy { (48...57).contains($0) }
    }
}

extension BaseObject {
    /// The symbols of the base that may be that variable.
    func variables(like variable: VariableName) -> [String] {
        guard variable.isInFunction else {
            return Set(symbols(meantBy: variable.name).map(\.name)).sorted()
        }
        return symbolNames.filter {
            $0.utf8.count > variable.name.utf8.count && VariableName(symbol: $0).mayBe(variable)
        }.sorted()
    }
}
