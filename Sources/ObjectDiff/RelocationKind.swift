/// The relocations that compilers put into objects (psABI x86-64, table 4.9).
enum RelocationKind: UInt32 {
    case none = 0
    case absolute64 = 1
    case pc32 = 2
    case got32 = 3
    case plt32 = 4
    case gotPCRelative = 9
    case absolute32 = 10
    case absolute32Signed = 11
    case absolute16 = 12
    case pc16 = 13
    case absolute8 = 14
    case pc8 = 15
    case moduleOffset64 = 17
    case threadOffset64 = 18
    case tlsGeneralDynamic = 19
    case tlsLocalDynamic = 20
    case moduleOffset32 = 21
    case tlsInitialExec = 22
    case threadOffset32 = 23
    case pc64 = 24
    case gotOffset64 = 25
    case gotPC32 = 26
    case size32 = 32
    case size64 = 33
    case tlsDescriptor = 34
    case tlsDescriptorCall = 35
    case gotPCRelativeRelaxable = 41
    case rexGOTPCRelativeRelaxable = 42

    /// The bytes that it fills in.
    var width: Int {
        switch self {
        case .none, .tlsDescriptorCall: 0
        case .absolute8, .pc8: 1
        case .absolute16, .pc16: 2
        case .absolute64, .moduleOffset64, .threadOffset64, .pc64, .gotOffset64, .size64: 8
        default: 4
        }
    }

    /// Whether the value counts from the place that it is filled in at.
    var isPCRelative: Bool {
        switch self {
        case .pc32, .plt32, .pc16, .pc8, .pc64, .gotPC32: true
        default: usesTable
        }
    }

    /// Whether it leads to a word of the global offset table and not to the
    /// symbol.
    var usesTable: Bool {
        switch self {
        case .gotPCRelative, .gotPCRelativeRelaxable, .rexGOTPCRelativeRelaxable,
            .tlsGeneralDynamic, .tlsLocalDynamic, .tlsInitialExec, .tlsDescriptor:
            true
        default: false
        }
    }

    /// Whether its instruction starts to ask the loader for a thread-local variable.
    var asksForBlock: Bool {
        [.tlsGeneralDynamic, .tlsLocalDynamic, .tlsDescriptor, .tlsDescriptorCall].contains(self)
    }

    /// Whether a symbol that it names is a thread-local variable.
    var isThreadLocal: Bool {
        switch self {
        case .moduleOffset32, .moduleOffset64, .threadOffset32, .threadOffset64,
            .tlsGeneralDynamic, .tlsLocalDynamic, .tlsInitialExec, .tlsDescriptor,
            .tlsDescriptorCall:
            true
        default: false
        }
    }
}
