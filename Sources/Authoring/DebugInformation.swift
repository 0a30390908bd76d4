import Addresses
import CDebugInfo
import Patchability
import SystemPackage

/// What the debug information of one file says about functions.
struct DebugInformation {
    /// A function with code of its own.
    struct Function {
        let name: String
        let file: String?
        let line: Int
        let address: LinkAddress
        let returns: ReturnRegisters
    }

    /// A copy of a function, inlined in another.
    struct InlinedCopy {
        let name: String
        let file: String?
        let line: Int
        let address: LinkAddress
        let container: String?
        let containerAddress: LinkAddress
        let callFile: String?
        let callLine: Int
    }

    enum Coverage { case complete, partial, none }

    private(set) var functions: [Function] = []
    private(set) var copies: [InlinedCopy] = []
    private(set) var coverage = Coverage.none

    /// Reads what is said of the functions `names`, or of all where nil. A file
    /// that cannot be read says nothing.
    init(of path: FilePath, names: [String]? = nil) {
        var message: UnsafePointer<CChar>?
        guard let session = unsafe cdebuginfo_open(path.string, &message) else { return }
        defer { unsafe cdebuginfo_close(session) }
        let collector = Collector()
        let result = withExtendedLifetime(collector) {
            let visitor = unsafe cdebuginfo_visitor(
                context: Unmanaged.passUnretained(collector).toOpaque(),
                function: { context, function in
                    guard let context = unsafe context else { return }
                    let collector = unsafe Unmanaged<Collector>.fromOpaque(context)
                    unsafe collector.takeUnretainedValue().functions.append(
                        Function(function.pointee))
                },
                inlined: { context, copy in
                    guard let context = unsafe context else { return }
                    let collector = unsafe Unmanaged<Collector>.fromOpaque(context)
                    unsafe collector.takeUnretainedValue().copies.append(InlinedCopy(copy.pointee))
                })
            return unsafe Self.visit(session, names, visitor)
        }
        functions = collector.functions
        copies = collector.copies
        coverage =
            switch result {
            case CDEBUGINFO_COMPLETE: .complete
            case CDEBUGINFO_PARTIAL: .partial
            default: .none
            }
    }

    /// The registers that the function called `name` returns in.
    func returns(of name: String) -> ReturnRegisters {
        functions.first { $0.name == name }?.returns ?? .unknown
    }

    private final class Collector {
        var functions: [Function] = []
        var copies: [InlinedCopy] = []
    }

    @unsafe
    private static func visit(
        _ session: OpaquePointer, _ names: [String]?, _ visitor: cdebuginfo_visitor
    ) -> cdebuginfo_result {
        guard let names else { return unsafe cdebuginfo_visit(session, nil, 0, visitor) }
        // One block of text, and a pointer to each name in it.
        let text = names.flatMap { Array($0.utf8CString) }
        return unsafe text.withUnsafeBufferPointer { text in
            guard var next = text.baseAddress else { return CDEBUGINFO_NONE }
            var pointers: [UnsafePointer<CChar>] = unsafe []
            for name in names {
                unsafe pointers.append(next)
                unsafe next += name.utf8.count + 1
            }
            return unsafe cdebuginfo_visit(session, pointers, names.count, visitor)
        }
    }
}

/// In which registers a function returns (psABI, section 3.2.3).
enum ReturnRegisters: Hashable {
    case known(RegisterSet)
    /// The debug information does not tell.
    case unknown

    init(_ bits: UInt32) {
        func has(_ bit: Int) -> Bool { bits & UInt32(bit) != 0 }
        guard !has(CDEBUGINFO_UNKNOWN) else {
            self = .unknown
            return
        }
        var set: RegisterSet = []
        if has(CDEBUGINFO_RAX) { set.insert(RegisterSet(.rax)) }
        if has(CDEBUGINFO_RDX) { set.insert(RegisterSet(.rdx)) }
        if has(CDEBUGINFO_XMM0) { set.insert(RegisterSet(.xmm(0))) }
        if has(CDEBUGINFO_XMM1) { set.insert(RegisterSet(.xmm(1))) }
        if has(CDEBUGINFO_X87) { set.insert(.x87) }
        self = .known(set)
    }
}

extension DebugInformation.Function {
    @unsafe
    fileprivate init(_ raw: cdebuginfo_function) {
        unsafe self.init(
            name: String(cString: raw.name), file: raw.file.map { unsafe String(cString: $0) },
            line: Int(raw.line), address: LinkAddress(rawValue: raw.address),
            returns: ReturnRegisters(raw.return_registers))
    }
}

extension DebugInformation.InlinedCopy {
    @unsafe
    fileprivate init(_ raw: cdebuginfo_inlined) {
        unsafe self.init(
            name: String(cString: raw.name), file: raw.file.map { unsafe String(cString: $0) },
            line: Int(raw.line), address: LinkAddress(rawValue: raw.address),
            container: raw.container.map { unsafe String(cString: $0) },
            containerAddress: LinkAddress(rawValue: raw.container_address),
            callFile: raw.call_file.map { unsafe String(cString: $0) },
            callLine: Int(raw.call_line))
    }
}
