import CDecoder
import ELFImage

/// What the instructions of a function, one after the other, say of where control
/// goes.
struct FunctionBody {
    struct Jump {
        let address: UInt64
        let target: UInt64
    }

    /// A jump to where a register or the memory says.
    struct IndirectJump {
        let address: UInt64
        /// Where the instructions start through which control comes to it, one after
        /// the other.
        let runStart: UInt64
    }

    let row: FunctionRow
    let region: CodeRegion?
    /// Without those that stay in the function and lead past the entry in question.
    private(set) var jumps: [Jump] = []
    private(set) var indirectJumps: [IndirectJump] = []
    /// The addresses that it takes with a rip-relative `lea`, and where.
    private(set) var addressesTaken: [(from: UInt64, target: UInt64)] = []
    /// The first place at which no instruction is known to start.
    let undecodable: UInt64?

    /// Whether its last instruction goes on to what stands behind it. A call does
    /// not, since one at the end is one that never returns.
    let fallsThrough: Bool

    /// - Parameter entry: the bytes to which jumps of the function itself matter too;
    ///   all where it is nil.
    init(_ row: FunctionRow, _ code: CodeMap, leadsTo entry: Range<UInt64>? = nil) {
        self.row = row
        region = code.region(of: row.start)
        var leads: [cdecoder_lead] = []
        var state = cdecoder_walk_state(
            position: row.start, run_start: row.start, falls_through: false)
        unsafe region?.asFunction(row, entry: entry) { function in
            unsafe withUnsafeTemporaryAllocation(of: cdecoder_lead.self, capacity: 64) { buffer in
                guard let start = buffer.baseAddress else { return }
                while true {
                    let count = unsafe cdecoder_walk(&function, &state, start, buffer.count)
                    if count > 0 { unsafe leads.append(contentsOf: buffer[..<count]) }
                    if count < buffer.count { return }
                }
            }
        }
        undecodable = state.position < row.end ? state.position : nil
        fallsThrough = state.falls_through
        for lead in leads {
            switch cdecoder_lead_kind(rawValue: lead.kind) {
            case CDECODER_LEAD_ADDRESS: addressesTaken.append((lead.from, lead.target))
            case CDECODER_LEAD_JUMP: jumps.append(Jump(address: lead.from, target: lead.target))
            default:
                indirectJumps.append(IndirectJump(address: lead.from, runStart: lead.target))
            }
        }
    }

    /// The addresses of up to `count` instructions before `jump`, the nearest first,
    /// back to where control comes from elsewhere only; and whether the function starts
    /// there.
    func instructions(
        before jump: IndirectJump, count: Int
    ) -> (starts: [UInt64], reachesStart: Bool) {
        var starts: [UInt64] = []
        region?.walk(from: jump.runStart, to: jump.address) { address, _ in
            starts.append(address)
        }
        return (
            starts.suffix(count).reversed(),
            jump.runStart == row.start && starts.count <= count
        )
    }
}

extension CodeRegion {
    /// Calls `body` with the function as the decoder wants it. Its bytes live as long
    /// as the call.
    @unsafe
    fileprivate func asFunction(
        _ row: FunctionRow, entry: Range<UInt64>?, _ body: (inout cdecoder_function) -> Void
    ) {
        unsafe bytes.withUnsafeBytes { bytes in
            guard let base = bytes.baseAddress else { return }
            var function = unsafe cdecoder_function(
                code: cdecoder_region(
                    bytes: base.assumingMemoryBound(to: UInt8.self), count: bytes.count,
                    address: start),
                start: row.start, end: row.end, entry_start: entry?.lowerBound ?? 0,
                entry_end: entry?.upperBound ?? .max)
            unsafe body(&function)
        }
    }
}
