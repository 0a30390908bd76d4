import Addresses
import ELFImage
import ObjectDiff
import PatchFile
import Patchability

/// Finds out for functions of the base whether and how others can take their place.
struct ReplacementSearch {
    /// A function of the base and the one that takes its place.
    struct Pair {
        let original: BaseFunction
        /// The name in the base; that of a clone is not the one in the source.
        let symbol: String
        let replacement: String
        /// Whether the fix calls the original.
        let callsOriginal: Bool
        /// The registers that the replacement returns in.
        let returns: ReturnRegisters
        /// Whether the compiler may have told its callers more of it than its signature.
        let isLocal: Bool
        /// Where it is called in another way than the original.
        var signature: SignatureChange?
    }

    private let base: BaseObject
    private let pairs: [Pair]
    private let acceptCopies: Bool
    private let compared: Set<LinkAddress>
    private let callers: DirectCallers
    private let takers: AddressTakers
    private let contracts: ContractSearch
    private let copies: CopySearch
    private(set) var warnings: [BuildWarning] = []

    /// - Parameters:
    ///   - fix: the object with the replacements.
    ///   - compared: functions of the base that were compiled together with the
    ///     replacements and came out as they are: whatever the compiler lets them rely
    ///     on, and whatever they have inlined, stays true.
    init(
        _ pairs: [Pair], in base: BaseObject, fix: ELFImage, acceptCopies: Bool,
        compared: Set<LinkAddress> = []
    ) throws(AuthoringError) {
        self.base = base
        self.pairs = pairs
        self.acceptCopies = acceptCopies
        self.compared = compared
        try Self.checkCalledOriginals(pairs, base)
        let originals = pairs.map(\.original)
        let called = Set(pairs.filter(\.callsOriginal).map(\.original.address))
        let decoder = try FunctionDecoder()
        let replaced = originals.filter { !called.contains($0.address) }
            .flatMap { base.codeFunction(of: $0.record).ranges }
        callers = try DirectCallers(
            base: base, replaced: replaced, called: called, decoder: decoder)
        takers = AddressTakers(base: base, replaced: replaced, decoder: decoder)
        contracts = try ContractSearch(base: base, fix: fix, decoder: decoder)
        copies = CopySearch(base: base, functions: originals, called: called, callers: callers)
    }

    /// What the manifest says of each pair, in their order.
    mutating func functions() throws(AuthoringError) -> [ReplacedFunction] {
        var functions: [ReplacedFunction] = []
        for pair in pairs { functions.append(try replaced(pair)) }
        return functions
    }

    /// Whether what the fix calls of the base can be called.
    private static func checkCalledOriginals(
        _ pairs: [Pair], _ base: BaseObject
    ) throws(AuthoringError) {
        let called = pairs.filter(\.callsOriginal)
        guard !called.isEmpty else { return }
        let calls = try base.originalCalls()
        for pair in called {
            let function = pair.original
            // That no detour fits is said of the replacement.
            guard function.record.verdict.site != nil,
                let refusal = calls.verdict(of: function.record).refusal
            else { continue }
            throw AuthoringError.originalNotCallable(
                function: function.name, base: base.name, refusal)
        }
    }

    private mutating func replaced(_ pair: Pair) throws(AuthoringError) -> ReplacedFunction {
        let function = pair.original
        guard let site = function.record.verdict.site else {
            throw AuthoringError.unpatchable(
                function: pair.symbol, base: base.name,
                function.record.verdict.refusal ?? .outsideCode(section: nil))
        }
        let remaining = try remainingCopies(of: pair)
        let callers = callers.callers(of: function.address)
        if let signature = pair.signature, let caller = callers.first(where: { !isCompared($0) }) {
            throw AuthoringError.change(
                .changedSignature(function: pair.symbol, signature, caller: caller.place))
        }
        if let signature = pair.signature, let holder = try takers.first(of: function.address) {
            throw AuthoringError.change(
                .takenAddress(function: pair.symbol, signature, holder: holder))
        }
        let contract = try contract(for: pair, callers)
        if !function.aliases.isEmpty {
            warnings.append(.aliases(function: pair.symbol, others: function.aliases))
        }
        if pair.isLocal, !callers.allSatisfy(isCompared) {
            warnings.append(.localFunction(pair.symbol))
        }
        let original: [UInt8]
        do throws(ELFError) {
            original = try base.image.bytes(at: function.record.range).array()
        } catch {
            throw AuthoringError.base(error)
        }
        return ReplacedFunction(
            symbol: pair.symbol, sourceFile: function.isLocal ? function.sourceFile : nil,
            range: function.record.range, fragments: base.fragments(of: function),
            site: site.address, island: site.island, original: original,
            replacement: pair.replacement, contract: contract,
            callsOriginal: pair.callsOriginal, copies: remaining)
    }

    private func isCompared(_ caller: DirectCaller) -> Bool {
        base.catalog.function(containing: caller.place.address)
            .map { compared.contains($0.address) } ?? false
    }

    /// What a thunk keeps for all callers; where it cannot, for those that may rely on
    /// more than the compiler has told of the new code.
    private func contract(
        for pair: Pair, _ callers: [DirectCaller]
    ) throws(AuthoringError) -> EntryContract? {
        do throws(ContractObstacle) {
            return try contracts.contract(
                for: pair.original, replacement: pair.replacement, returns: pair.returns,
                callers: callers)
        } catch {
            let others = callers.filter { !isCompared($0) }
            guard others.count < callers.count else { throw refusal(error, pair) }
            do throws(ContractObstacle) {
                return try contracts.contract(
                    for: pair.original, replacement: pair.replacement, returns: pair.returns,
                    callers: others)
            } catch {
                throw refusal(error, pair)
            }
        }
    }

    private func refusal(_ obstacle: ContractObstacle, _ pair: Pair) -> AuthoringError {
        .contract(function: pair.symbol, base: base.name, obstacle)
    }

    private mutating func remainingCopies(
        of pair: Pair
    ) throws(AuthoringError) -> RemainingCopies {
        let function = pair.original
        let copies = copies.copies(of: function).filter { copy in
            let holder = base.catalog.function(containing: copy.address)
            return holder.map { !compared.contains($0.address) } ?? true
        }
        guard copies.isEmpty || acceptCopies else {
            throw AuthoringError.copies(
                function: pair.symbol, base: base.name, copies: copies)
        }
        if !copies.isEmpty {
            warnings.append(.copiesRemain(function: pair.symbol, count: copies.count))
        }
        guard self.copies.isCovered(function) else {
            warnings.append(.copiesUnknown(function: pair.symbol, base: base.name))
            return .unknown(clones: copies)
        }
        return copies.isEmpty ? .none : .accepted(copies)
    }
}
