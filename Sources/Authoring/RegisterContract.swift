// What the compiler may have told the callers of a function, beyond the psABI.
//
// The rule. GCC's -fipa-ra, on at -O2, lets the direct callers of a function
// keep values in caller-saved registers across the call, where the function and
// all that it calls do not change them; and lets them call it with a stack that
// is not aligned to 16 bytes, where it has no need of that (a leaf). GCC counts
// as changed what any instruction of the function sets, and everything where it
// calls what it does not know (collect_fn_hard_reg_usage in gcc/final.cc).
//
// So, for a function with direct callers that stay:
//
//     kept by a thunk = what the replacement may change, at most
//                     - what the original changes for certain
//                     - what the replacement returns in
//
// Both bounds err to the safe side: of the original only what is certain is
// counted (``CodeEffects/Bound/atLeast``), of the replacement everything that is
// possible (``CodeEffects/Bound/atMost``). The registers of the result are left
// out because a function may return what it was given without setting it: of
// `double f(double x) { return x; }` only the `ret` remains.
//
// A thunk calls the replacement from a frame of its own, so it cannot be where
// the replacement takes arguments on the stack. It keeps 128 bits of a vector
// register, so where callers use wider ones, opmask registers or x87, and the
// replacement may change those, there is no way but to refuse.

import Addresses
import PatchFile
import Patchability

/// Why no thunk can keep what the callers of a function may rely on.
public enum ContractObstacle: Error, Hashable {
    /// `kept` is what must stay the same: a register, or the stack's alignment.
    case stackArguments(kept: String, caller: Place)
    case wideVectors(register: String, caller: Place)
    case maskRegisters(register: String, caller: Place)
    case floatingPointStack(caller: Place)
    /// It is not known in which registers the replacement returns.
    case returnUnknown(register: String, caller: Place)

    var code: String {
        switch self {
        case .stackArguments: "stack-arguments"
        case .wideVectors: "wide-vectors"
        case .maskRegisters: "mask-registers"
        case .floatingPointStack: "x87"
        case .returnUnknown: "return-unknown"
        }
    }
}

extension ContractObstacle: CustomStringConvertible {
    public var description: String {
        let (what, caller) = parts
        return what + "; put the function that contains \(caller) into the fix too"
    }

    private var parts: (String, Place) {
        switch self {
        case .stackArguments(let kept, let caller):
            (
                "\(caller) calls it directly and may rely on \(kept) as the old code leaves it; "
                    + "the new code changes that, and takes arguments on the stack, so that "
                    + "nothing can be put in between", caller
            )
        case .wideVectors(let register, let caller):
            (
                "\(caller) calls it directly and may keep more than 128 bits in \(register), "
                    + "which the old code leaves alone and the new code may change", caller
            )
        case .maskRegisters(let register, let caller):
            (
                "\(caller) calls it directly and may keep a value in \(register), "
                    + "which the old code leaves alone and the new code may change", caller
            )
        case .floatingPointStack(let caller):
            (
                "\(caller) calls it directly and uses x87 or MMX registers, "
                    + "which the old code leaves alone and the new code may change", caller
            )
        case .returnUnknown(let register, let caller):
            (
                "\(caller) calls it directly and may keep a value in \(register), and the debug "
                    + "information of the new code does not tell whether it returns in it", caller
            )
        }
    }
}

/// One function, its replacement, and who calls it.
struct RegisterContract {
    let original: CodeEffects
    let replacement: CodeEffects
    let returns: ReturnRegisters
    let callers: [DirectCaller]
    /// Whether the replacement reads what its caller put on the stack.
    let takesStackArguments: Bool

    /// What a thunk has to keep; nil where none is needed.
    func entryContract() throws(ContractObstacle) -> EntryContract? {
        guard let caller = callers.first?.place else { return nil }
        let atRisk = replacement.changes.subtracting(original.changes)
        try checkWideRegisters(atRisk)
        let preserve = KeptRegister.allCases.filter {
            atRisk.contains($0.set) && !isResult($0.set)
        }
        if returns == .unknown, let register = preserve.first(where: { $0.mayReturn }) {
            throw .returnUnknown(register: register.rawValue, caller: caller)
        }
        let alignStack = replacement.needsAlignedStack && !original.needsAlignedStack
        guard alignStack || !preserve.isEmpty else { return nil }
        guard !takesStackArguments else {
            throw .stackArguments(
                kept: preserve.first?.rawValue ?? "the alignment of the stack", caller: caller)
        }
        return EntryContract(preserve: preserve, alignStack: alignStack)
    }

    private func isResult(_ register: RegisterSet) -> Bool {
        if case .known(let set) = returns { set.contains(register) } else { false }
    }

    /// What a thunk does not keep: refused only where a caller uses it at all.
    private func checkWideRegisters(_ atRisk: RegisterSet) throws(ContractObstacle) {
        let wide = replacement.changesUpperHalves.subtracting(original.changes)
            .union(atRisk.intersection(.highVectors))
        if let register = wide.registers.first,
            let caller = callers.first(where: \.usesWideVectors)
        {
            throw .wideVectors(register: "\(register)", caller: caller.place)
        }
        if let register = atRisk.intersection(.masks).registers.first,
            let caller = callers.first(where: { !$0.uses.isDisjoint(with: .masks) })
        {
            throw .maskRegisters(register: "\(register)", caller: caller.place)
        }
        if atRisk.contains(.x87), !isResult(.x87),
            let caller = callers.first(where: { $0.uses.contains(.x87) })
        {
            throw .floatingPointStack(caller: caller.place)
        }
    }
}

extension RegisterSet {
    /// xmm16 to xmm31, which only EVEX instructions reach.
    static let highVectors = RegisterSet(rawValue: 0xffff << 48)
    static let lowVectors = RegisterSet(rawValue: 0xffff << 32)

    /// All that a function may change by the psABI (figure 3.4).
    static let callerSaved: RegisterSet = {
        let general = KeptRegister.allCases.reduce(into: RegisterSet()) { $0.formUnion($1.set) }
        return general.union([.highVectors, .masks, .x87])
    }()
}

extension KeptRegister {
    var set: RegisterSet {
        switch self {
        case .rax: RegisterSet(.rax)
        case .rcx: RegisterSet(.rcx)
        case .rdx: RegisterSet(.rdx)
        case .rsi: RegisterSet(.rsi)
        case .rdi: RegisterSet(.rdi)
        case .r8: RegisterSet(.r(8))
        case .r9: RegisterSet(.r(9))
        case .r10: RegisterSet(.r(10))
        case .r11: RegisterSet(.r(11))
        case .flags: .flags
        default: RegisterSet(.xmm(vectorNumber))
        }
    }

    /// Of xmm0 to xmm15, which stand in order.
    private var vectorNumber: Int {
        Self.allCases.filter { $0.rawValue.hasPrefix("xmm") }.firstIndex(of: self) ?? 0
    }

    /// Whether a function may return in it.
    fileprivate var mayReturn: Bool { [.rax, .rdx, .xmm0, .xmm1].contains(self) }
}
