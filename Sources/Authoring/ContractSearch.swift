import Addresses
import ELFImage
import PatchFile

/// Gathers what the register contracts of a patch depend on.
struct ContractSearch {
    private let baseCode: BaseCode
    private let fixCode: FixCode
    private let decoder: FunctionDecoder

    init(
        base: BaseObject, fix: ELFImage, decoder: FunctionDecoder
    ) throws(AuthoringError) {
        self.decoder = decoder
        baseCode = BaseCode(base: base)
        fixCode = try FixCode(fix)
    }

    /// What a thunk before the replacement has to keep for those callers.
    func contract(
        for function: BaseFunction, replacement: String, returns: ReturnRegisters,
        callers: [DirectCaller]
    ) throws(ContractObstacle) -> EntryContract? {
        guard !callers.isEmpty, let new = fixCode.function(named: replacement) else { return nil }
        let old = baseCode.base.codeFunction(of: function.record)
        return try RegisterContract(
            original: CodeEffects(of: old, in: baseCode, bound: .atLeast, decoder: decoder),
            replacement: CodeEffects(of: new, in: fixCode, bound: .atMost, decoder: decoder),
            returns: returns, callers: callers,
            takesStackArguments: StackArguments.areUsed(by: new, in: fixCode, decoder: decoder)
        ).entryContract()
    }
}
