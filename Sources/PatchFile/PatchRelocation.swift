/// The relocations that a patch's object may carry: all that GCC and Clang
/// produce for code in the small model, and no other (psABI x86-64, table 4.9).
public enum PatchRelocation: UInt32, Sendable, CaseIterable {
    case none = 0
    /// `S + A`, 8 bytes; in data.
    case absolute64 = 1
    /// `S + A - P`, 4 bytes.
    case pc32 = 2
    /// `L + A - P`, 4 bytes: a call, by a stub where the callee is far.
    case plt32 = 4
    /// `G + GOT + A - P`, 4 bytes.
    case gotPCRelative = 9
    /// The pair of GOT words that `__tls_get_addr` takes, 4 bytes.
    case tlsGeneralDynamic = 19
    /// `S + A`, 4 bytes, without a sign: of code for a program at a fixed address.
    case absolute32 = 10
    /// As ``absolute32``, with a sign.
    case absolute32Signed = 11
    /// The GOT word with the offset from the thread pointer, 4 bytes.
    case tlsInitialExec = 22
    /// `S + A - P`, 8 bytes.
    case pc64 = 24
    /// As ``gotPCRelative``; the instruction may be relaxed where `S` is near.
    case gotPCRelativeRelaxable = 41
    /// As ``gotPCRelativeRelaxable``, for an instruction with a REX prefix.
    case rexGOTPCRelativeRelaxable = 42

    /// The number of bytes at the relocation's offset that it fills in.
    public var width: UInt64 {
        switch self {
        case .none: 0
        case .absolute64, .pc64: 8
        default: 4
        }
    }

    /// The names of `elf.h`, for messages.
    public var name: String {
        switch self {
        case .none: "R_X86_64_NONE"
        case .absolute64: "R_X86_64_64"
        case .pc32: "R_X86_64_PC32"
        case .plt32: "R_X86_64_PLT32"
        case .gotPCRelative: "R_X86_64_GOTPCREL"
        case .absolute32: "R_X86_64_32"
        case .absolute32Signed: "R_X86_64_32S"
        case .tlsGeneralDynamic: "R_X86_64_TLSGD"
        case .tlsInitialExec: "R_X86_64_GOTTPOFF"
        case .pc64: "R_X86_64_PC64"
        case .gotPCRelativeRelaxable: "R_X86_64_GOTPCRELX"
        case .rexGOTPCRelativeRelaxable: "R_X86_64_REX_GOTPCRELX"
        }
    }
}
